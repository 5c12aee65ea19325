"""Head, encoded clips and fine-tuning of the speech network on a tiny Whisper."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_models.data.corpora import TableFormat
from emo_models.data.speakers import Profile, Utterances, population_mean, read_utterances
from emo_models.errors import CheckpointError, DataError
from emo_models.modeling.speech import SpeechEncoder
from emo_models.modeling.speech_states import Convolutions, first_states, last_embedding
from emo_models.modeling.whisper import load_whisper_encoder, new_encoder
from emo_models.recipes import SpeechRecipe
from emo_models.training.speech import cropped, head_of, train_speech, tuned_embeddings
from emo_models.training.speech_features import (
    CLEAN,
    NOTHING_FROZEN,
    TELEPHONE,
    Clip,
    Condition,
    SpeechFeatures,
    conditions,
    front_end_settings,
)
from emo_models.training.speech_head import minimize, train_head
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.log_mel import LogMel

RECIPE = SpeechRecipe(
    epochs=3, learning_rate=3e-3, head_learning_rate=1e-2, batch_size=8, copies=0, crop_s=0.3
)


@pytest.fixture
def clips(speech_tables: tuple[Path, Path]) -> Utterances:
    return read_utterances(speech_tables, TableFormat())


@pytest.fixture
def encoder(whisper: Path) -> SpeechEncoder:
    labels = ("anger", "joy", "neutral")
    return load_whisper_encoder(whisper, layers=3, labels=labels).encoder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoded")


def test_minimize_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((80, 5)).astype(np.float32)
    label = (rows[:, :3] + rng.standard_normal((80, 3))).argmax(1)
    weight = rng.uniform(0.5, 2, 80)
    weight /= weight.sum()
    matrix, bias = minimize(rows, label, weight, classes=3, l2=0.02)
    # scikit-learn: C * sum of losses + half the squares
    expected = LogisticRegression(C=1 / (2 * 0.02), tol=1e-8, max_iter=1000)
    expected.fit(rows, label, sample_weight=weight)
    np.testing.assert_allclose(matrix.T, expected.coef_, atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), expected.intercept_, atol=5e-3)


@pytest.mark.parametrize("first", [1, 2])
def test_both_parts_of_the_encoder_equal_the_whole(encoder: SpeechEncoder, first: int) -> None:
    torch.manual_seed(1)
    long, short = torch.randn(1, 20, 80) / 4, torch.randn(1, 20, 50) / 4
    with torch.no_grad():
        (a, gate_a), (b, gate_b) = (first_states(encoder, x, first) for x in (long, short))
        states, gate = torch.zeros(2, 40, 16), torch.zeros(2, 40)
        padding = torch.zeros(2, 40, dtype=torch.bool)
        states[0], gate[0], states[1, :25], gate[1, :25] = a[0], gate_a[0], b[0], gate_b[0]
        padding[1, 25:] = True
        found = last_embedding(
            list(encoder.layers)[first:], states, gate, padding, first=first, pooled_layers=(2, 3)
        )
        torch.testing.assert_close(found[:1], encoder(long), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[1:], encoder(short), atol=1e-5, rtol=1e-5)


def test_convolutions_of_padded_features_equal_the_whole(encoder: SpeechEncoder) -> None:
    """Padding must not reach the last frames through the second convolution."""
    torch.manual_seed(1)
    with torch.no_grad():
        encoder.conv1.bias.normal_()
        long, short = torch.randn(1, 20, 80) / 4, torch.randn(1, 20, 51) / 4
        features = torch.zeros(2, 20, 80)
        features[0], features[1, :, :51] = long[0], short[0]
        found = Convolutions(encoder)(features, torch.tensor([80, 51]))
        (a, _), (b, _) = (first_states(encoder, x, 0) for x in (long, short))
    torch.testing.assert_close(found[0], a[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[1, :26], b[0], atol=1e-5, rtol=1e-5)


def test_encoded_clips_come_from_the_runtimes_front_end(
    encoder: SpeechEncoder, clips: Utterances, folder: Path
) -> None:
    features = SpeechFeatures(encoder, clips, folder, frozen=1, seed=0)
    samples = load_audio(str(clips.rows[3].audio), 16_000)
    mel = LogMel(front_end_settings(encoder)).whole(samples).parts[0]
    with torch.no_grad():
        expected = encoder(torch.from_numpy(mel))[0].numpy()
    clip = features.clip(3, CLEAN)
    np.testing.assert_allclose(clip.embedding, expected, atol=1e-6)
    assert clip.states.shape == ((mel.shape[2] + 1) // 2, 16)
    # The level of a recording has no influence.
    louder = LogMel(front_end_settings(encoder)).whole(samples * np.float32(0.05)).parts[0]
    np.testing.assert_allclose(louder, mel, atol=1e-4)


def test_the_cache_depends_on_sound_encoder_and_condition(
    encoder: SpeechEncoder, clips: Utterances, tmp_path: Path
) -> None:
    def encode(condition: Condition = CLEAN, frozen: int = 3) -> list[Path]:
        features = SpeechFeatures(encoder, clips, tmp_path / "cache", frozen=frozen, seed=0)
        features.clip(0, condition)
        return sorted((tmp_path / "cache").iterdir())

    first = encode()
    before = first[0].stat().st_mtime_ns
    assert encode() == first
    assert first[0].stat().st_mtime_ns == before
    assert len(encode(frozen=1)) == 2
    for condition in (TELEPHONE, Condition("random", 0), Condition("random", 1)):
        encode(condition)
    assert len(encode()) == 5
    with torch.no_grad():
        encoder.conv1.weight.add_(0.1)
    assert len(encode()) == 6


def test_random_recordings_are_repeated(
    encoder: SpeechEncoder, clips: Utterances, tmp_path: Path
) -> None:
    one, two = (
        SpeechFeatures(encoder, clips, tmp_path / name, frozen=3, seed=5).clip(
            2, Condition("random", 1)
        )
        for name in ("one", "two")
    )
    np.testing.assert_array_equal(one.embedding, two.embedding)


def test_unreadable_sound_is_named(
    encoder: SpeechEncoder, clips: Utterances, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"not a sound")
    changed = replace(clips, rows=(replace(clips.rows[0], audio=bad), *clips.rows[1:]))
    with pytest.raises(DataError, match=r"first\.csv, row 1: .*bad\.wav"):
        SpeechFeatures(encoder, changed, tmp_path / "cache", frozen=3, seed=0).clip(0, CLEAN)


def test_a_crop_has_the_length_and_keeps_speech() -> None:
    gate = np.zeros(100, np.float16)
    gate[70:90] = 1
    clip = Clip(np.arange(100, dtype=np.float16)[:, None], gate, np.zeros(1, np.float32))
    for seed in range(5):
        part = cropped(clip, 0.6, np.random.default_rng(seed))
        assert len(part.gate) == len(part.states) == 30
        np.testing.assert_array_equal(part.gate, gate[int(part.states[0, 0]) :][:30])
    assert cropped(clip, 5.0, np.random.default_rng(0)) is clip


def test_training_without_fine_tuning_is_the_head(
    encoder: SpeechEncoder, clips: Utterances, folder: Path
) -> None:
    features = SpeechFeatures(encoder, clips, folder, frozen=3, seed=0)
    recipe = replace(RECIPE, fine_tune=0, l2=1e-4)
    numbers = np.flatnonzero(clips.corpus == 0)
    network, history = train_speech(encoder, features, numbers, conditions(0), recipe)
    bank = [features.embeddings(condition)[numbers] for condition in conditions(0)]
    head = train_head(bank, clips.take(numbers), recipe)
    assert not history.losses
    np.testing.assert_allclose(network.head.weight.detach().numpy().T, head.weight, atol=1e-6)
    np.testing.assert_allclose(
        network.population_mean,
        np.mean([population_mean(part, clips.take(numbers)) for part in bank], axis=0),
        atol=1e-5,
    )
    held_out = np.flatnonzero(clips.corpus == 1)
    logits = head_of(network, recipe.adaptation_weight).logits(
        features.embeddings(CLEAN)[held_out], clips.take(held_out), Profile((0,)), 0
    )
    # Without a profile the adapted head gives the logits of the network itself.
    sample = torch.from_numpy(features.embeddings(CLEAN)[held_out])
    with torch.no_grad():
        expected = network.head(sample - network.population_mean).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_fine_tuning_changes_the_last_layers_and_learns(
    encoder: SpeechEncoder, clips: Utterances, folder: Path
) -> None:
    features = SpeechFeatures(encoder, clips, folder, frozen=1, seed=0)
    numbers = np.arange(len(clips.rows))
    network, history = train_speech(
        encoder, features, numbers, conditions(0), replace(RECIPE, epochs=6)
    )
    before, after = encoder.state_dict(), network.encoder.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(("layers.1.", "layers.2.")) for name in changed)
    assert history.losses[-1] < history.losses[0]
    found = tuned_embeddings(network, features, numbers[:4], CLEAN)
    mel = LogMel(front_end_settings(encoder))
    for number in range(4):
        samples = load_audio(str(clips.rows[number].audio), 16_000)
        with torch.no_grad():
            expected, _ = network(torch.from_numpy(mel.whole(samples).parts[0]))
        # The cached states are float16.
        np.testing.assert_allclose(found[number], expected[0], atol=0.02)


def test_training_from_scratch_learns_the_convolutions_too(
    clips: Utterances, tmp_path: Path
) -> None:
    made = new_encoder(layers=2, width=16, heads=2, labels=("anger", "joy", "neutral"), seed=1)
    features = SpeechFeatures(made.encoder, clips, tmp_path, frozen=NOTHING_FROZEN, seed=0)
    numbers = np.arange(len(clips.rows))
    recipe = replace(RECIPE, layers=2, epochs=8, time_mask=0.2, channel_mask=0.2, averaging=0.1)
    network, history = train_speech(made.encoder, features, numbers, conditions(0), recipe)
    before, after = made.encoder.state_dict(), network.encoder.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"embed_positions.weight"}
    assert history.losses[-1] < 0.9 * history.losses[0]
    # The same network as a whole; features in the cache are float16.
    found = tuned_embeddings(network, features, numbers[:4], CLEAN)
    mel = LogMel(front_end_settings(made.encoder))
    for number in range(4):
        samples = load_audio(str(clips.rows[number].audio), 16_000)
        with torch.no_grad():
            expected, _ = network(torch.from_numpy(mel.whole(samples).parts[0]))
        np.testing.assert_allclose(found[number], expected[0], atol=0.02)


def test_a_new_encoder_is_the_seeds() -> None:
    def weights(seed: int) -> torch.Tensor:
        made = new_encoder(layers=1, width=16, heads=2, labels=("a", "b"), seed=seed)
        return made.encoder.state_dict()["layers.0.fc1.weight"]

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
    # Whisper's table of positions, from its definition: the first column of sines is sin(time).
    table = new_encoder(layers=1, width=16, heads=2, labels=("a", "b"), seed=0).encoder
    positions = WhisperEncoder(WhisperConfig(d_model=16, encoder_layers=0)).embed_positions.weight
    torch.testing.assert_close(table.embed_positions.weight, positions, atol=1e-4, rtol=1e-4)
    with pytest.raises(CheckpointError, match="width 16 is not a multiple of heads 3"):
        new_encoder(layers=1, width=16, heads=3, labels=("a", "b"), seed=0)


def test_a_resumed_fine_tuning_equals_an_uninterrupted_one(
    encoder: SpeechEncoder, clips: Utterances, folder: Path, tmp_path: Path
) -> None:
    features = SpeechFeatures(encoder, clips, folder, frozen=2, seed=0)
    numbers = np.arange(len(clips.rows))
    recipe = replace(RECIPE, fine_tune=1)

    def stop(history: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        train_speech(
            encoder, features, numbers, conditions(0), recipe, state_path=path, on_epoch=stop
        )
    resumed, history = train_speech(
        encoder, features, numbers, conditions(0), recipe, state_path=path
    )
    whole, expected = train_speech(encoder, features, numbers, conditions(0), recipe)
    assert history.losses == expected.losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_wrong_checkpoints_are_refused(whisper: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Give --layers 3 or fewer"):
        load_whisper_encoder(whisper, layers=4, labels=("a", "b"))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="expected 'whisper'"):
        load_whisper_encoder(tmp_path, layers=1, labels=("a", "b"))
    (tmp_path / "config.json").write_text((whisper / "config.json").read_text())
    with pytest.raises(CheckpointError, match="not a complete Whisper checkpoint"):
        load_whisper_encoder(tmp_path, layers=1, labels=("a", "b"))
