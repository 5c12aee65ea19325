"""Models in the layout of the toolkit speech-emotion against their definition in PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from emo_export.checkpoints.speech_emotion import read_speech_emotion
from emo_export.evaluation.session import GraphSession
from emo_export.passes.optimize import optimize_speech
from emo_export.torch_export import speech_graph
from emo_models.errors import CheckpointError
from emo_models.labels import LABELS
from emo_runtime.bundle.front_ends import KaldiFbankSettings
from helpers.toolkit_models import (
    CONFIG,
    WIDTH,
    audio_vector,
    cross_attention,
    logits,
    weights,
    write,
)


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
def test_the_speech_model(tmp_path: Path, name: str) -> None:
    state = weights("audio")
    model = read_speech_emotion(str(write(tmp_path / "w2v-bert-emotion-es", state, name)))
    assert model.fusion is None
    assert model.speech.labels == LABELS
    front_end = model.speech.front_end
    assert isinstance(front_end, KaldiFbankSettings)
    assert front_end.max_frames() == 16_000
    session = GraphSession(optimize_speech(speech_graph(model.speech, ("logits",))))
    for length in (1, 40, 90):
        features = torch.randn(1, length, 160)
        expected = logits(state, audio_vector(state, features))
        found = session.run(features=features.numpy())["logits"]
        assert np.abs(found - expected.numpy()).max() < 1e-4
        # The checkpoint stays in evaluation mode after its export.
        with torch.no_grad():
            again = model.speech.module(features)[1]
        torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["concat", "mean", "multihead"])
def test_models_of_sound_and_text(tmp_path: Path, kind: str) -> None:
    state = weights(kind)
    model = read_speech_emotion(str(write(tmp_path / f"w2v-bert-beto-{kind}-emotion-es", state)))
    assert model.fusion is not None
    assert model.speech.labels == ()
    assert model.fusion_config["text_pooling"] == "cls"
    features, text = torch.randn(1, 50, 160), torch.randn(1, WIDTH)
    audio = audio_vector(state, features)
    joined = {
        "concat": lambda: torch.cat([audio, text], 1),
        "mean": lambda: (audio + text) / 2,
        "multihead": lambda: cross_attention(state, text, audio),
    }[kind]()
    with torch.no_grad():
        vector, none = model.speech.module(features)
        found = model.fusion(vector, text)
    assert none is None
    torch.testing.assert_close(vector, audio, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found, logits(state, joined), atol=1e-4, rtol=1e-4)


def test_an_audio_or_mean_model_without_a_telling_name_needs_the_kind(tmp_path: Path) -> None:
    directory = write(tmp_path / "model", weights("mean"))
    with pytest.raises(CheckpointError, match="--speech-emotion-kind audio or mean"):
        read_speech_emotion(str(directory))
    assert read_speech_emotion(str(directory), "mean").fusion is not None
    assert read_speech_emotion(str(directory), "audio").fusion is None


def test_refused_with_one_line(tmp_path: Path) -> None:
    state = weights("concat")
    faults: list[tuple[dict[str, torch.Tensor | None], str]] = [
        ({"projector.weight": None}, r"has no projector\.weight: not a model"),
        ({"classifier.out_proj.weight": torch.ones(7, 32)}, "7 outputs"),
        ({"projector.weight": torch.ones(WIDTH, 20)}, "does not fit"),
        ({"classifier.dense.weight": torch.ones(20, 20)}, "the head reads 20 values"),
    ]
    for number, (changed, message) in enumerate(faults):
        faulty = {k: v for k, v in {**state, **changed}.items() if v is not None}
        with pytest.raises(CheckpointError, match=message) as caught:
            read_speech_emotion(str(write(tmp_path / str(number), faulty)))
        assert "\n" not in str(caught.value)
    directory = write(tmp_path / "broken", state)
    (directory / "model.bin").write_bytes(b"no pickle")
    with pytest.raises(CheckpointError, match="can't be read as weights"):
        read_speech_emotion(str(directory))
    (directory / "model.bin").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.bin nor model\.safetensors"):
        read_speech_emotion(str(directory))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_other_checkpoints_are_refused_with_one_line(tmp_path: Path) -> None:
    state = weights("concat")
    faults: list[tuple[str, dict[str, object], str]] = [
        ("config.json", {"model_type": "bert"}, "Its text model goes with --text"),
        ("config.json", {"add_adapter": True}, "add_adapter is true"),
        ("config.json", {"num_hidden_layers": 3}, r"does not fit config\.json"),
        ("config.json", {"hidden_size": 48}, r"does not fit config\.json"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate 8000 is not"),
        ("preprocessor_config.json", {"num_mel_bins": 40}, "width 80, the network .* width 160"),
        (
            "preprocessor_config.json",
            {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
            "not that of Wav2Vec2-BERT",
        ),
    ]
    for number, (name, changes, message) in enumerate(faults):
        directory = write(tmp_path / str(number), state)
        change(directory / name, **changes)
        with pytest.raises(CheckpointError, match=message) as caught:
            read_speech_emotion(str(directory))
        assert "\n" not in str(caught.value)
    directory = write(tmp_path / "no-preprocessor", state)
    (directory / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no preprocessor_config\.json"):
        read_speech_emotion(str(directory))


def test_a_speech_recognizer_is_refused(tmp_path: Path) -> None:
    """Its head is ``lm_head``."""
    network = Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**{**CONFIG.to_dict(), "vocab_size": 30}))
    directory = write(tmp_path / "w2v-bert-ctc", network.state_dict())
    with pytest.raises(CheckpointError, match=r"has no projector\.weight.*not a model of"):
        read_speech_emotion(str(directory))
