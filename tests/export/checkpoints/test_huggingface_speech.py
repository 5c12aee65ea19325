"""Audio classifiers and encoders of transformers, exported and compared with transformers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import (
    ASTFeatureExtractor,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from emo_export.checkpoints.read_speech import is_speech, read_speech
from emo_export.evaluation.session import GraphSession
from emo_export.passes.optimize import optimize_speech
from emo_export.torch_export import speech_graph
from emo_models.errors import CheckpointError
from emo_runtime.audio.front_end import make_front_end
from helpers.reference_features import whisper
from helpers.sounds import speechlike

LABELS = {"id2label": dict(enumerate(("calm", "happy", "angry")))}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
CONVOLUTIONS = {
    "conv_dim": (24, 24, 24),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "vocab_size": 100,
    "max_source_positions": 100,
    "classifier_proj_size": 16,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "decoder_start_token_id": 0,
}
WAVEFORM = Wav2Vec2FeatureExtractor(do_normalize=True)
AST = {"max_length": 128, "num_mel_bins": 16, "patch_size": 8, "frequency_stride": 8,
       "time_stride": 8}  # fmt: skip
CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "Wav2Vec2": ({**SMALL, **CONVOLUTIONS}, WAVEFORM),
    "Hubert": (
        {**SMALL, **CONVOLUTIONS, "feat_extract_norm": "layer", "conv_bias": True},
        WAVEFORM,
    ),
    "WavLM": ({**SMALL, **CONVOLUTIONS, "do_stable_layer_norm": True}, WAVEFORM),
    "Wav2Vec2Bert": (
        {**SMALL, "conv_depthwise_kernel_size": 5, "classifier_proj_size": 16},
        SeamlessM4TFeatureExtractor(),
    ),
    "Whisper": (WHISPER, WhisperFeatureExtractor(chunk_length=2)),
    "AST": ({**SMALL, **AST}, ASTFeatureExtractor(num_mel_bins=16, max_length=128)),
}
CLASSES = {"Whisper": "ForAudioClassification", "AST": "ForAudioClassification"}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a small network with random weights and its preprocessor_config.json."""

    def directory(name: str, head: str | None = None, **changes: Any) -> Path:
        torch.manual_seed(0)
        shape, extractor = CASES[name]
        config = getattr(transformers, f"{name}Config")(**{**shape, **LABELS, **changes})
        head = CLASSES.get(name, "ForSequenceClassification") if head is None else head
        network = getattr(transformers, f"{name}{head}")(config)
        for parameter in network.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape)
        target = tmp_path / f"{name}{head}"
        network.save_pretrained(target)
        extractor.save_pretrained(target)
        return target

    return directory


def inputs_of(directory: Path, samples: np.ndarray, name: str) -> dict[str, torch.Tensor]:
    extractor = type(CASES[name][1]).from_pretrained(directory)
    return dict(extractor(samples, sampling_rate=16_000, return_tensors="pt"))


@pytest.mark.parametrize("name", CASES)
def test_a_classifier_answers_as_in_transformers(make: Make, name: str) -> None:
    directory = make(name)
    checkpoint = read_speech(str(directory))
    assert checkpoint.labels == ("calm", "happy", "angry")
    session = GraphSession(optimize_speech(speech_graph(checkpoint, ("logits",))))
    front_end = make_front_end(checkpoint.front_end)
    model = getattr(transformers, f"{name}{CLASSES.get(name, 'ForSequenceClassification')}")
    model = model.from_pretrained(directory).eval()
    for seconds in (0.7, 1.6):
        samples = speechlike(seconds, 16_000)
        with torch.no_grad():
            expected = model(**inputs_of(directory, samples, name)).logits.numpy()
        [part] = front_end.whole(samples).parts
        found = session.run(**{checkpoint.input_name: part})["logits"]
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
def test_an_encoder_gives_its_pooled_states(make: Make, name: str, pooling: str) -> None:
    directory = make(name, "Model")
    checkpoint = read_speech(str(directory), pooling, 1)  # type: ignore[arg-type]
    assert checkpoint.width == (64 if pooling == "mean_std" else 32)
    session = GraphSession(optimize_speech(speech_graph(checkpoint, ("embedding",))))
    samples = speechlike(1.1, 16_000)
    config = json.loads((directory / "config.json").read_text())
    config["encoder_layers" if name == "Whisper" else "num_hidden_layers"] = 1
    model: Any = getattr(transformers, f"{name}Model")
    shallow = model.from_pretrained(
        directory, config=getattr(transformers, f"{name}Config")(**config)
    ).eval()
    inputs = inputs_of(directory, samples, name)
    if name == "Whisper":
        # It reads as many positions as it has, here those of the sound alone.
        inputs = {"input_features": torch.from_numpy(whisper(samples))}
        positions = shallow.encoder.embed_positions.weight[:55]
        shallow.encoder.embed_positions = torch.nn.Embedding.from_pretrained(positions)
        shallow.config.max_source_positions = 55
    with torch.no_grad():
        if name == "Whisper":
            states = shallow.encoder(**inputs).last_hidden_state
        else:
            states = shallow(**inputs).last_hidden_state
    if "attention_mask" in inputs and name == "Wav2Vec2Bert":
        states = states[:, inputs["attention_mask"][0].bool()]
    expected = states.mean(1)
    if pooling == "mean_std":
        expected = torch.cat([expected, states.std(1, correction=0)], 1)
    [part] = make_front_end(checkpoint.front_end).whole(samples).parts
    found = session.run(**{checkpoint.input_name: part})["embedding"]
    assert np.abs(found - expected.numpy()).max() < 1e-4


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["Wav2Vec2ForCTC"]}, "speech recognizer"),
        ({"adapter_attn_dim": 16}, "language-specific head"),
        ({"add_adapter": True}, "adapter that shortens"),
        ({"problem_type": "regression"}, "regression head"),
        ({"model_type": "sew"}, "'sew' is not a supported speech encoder"),
        ({"intermediate_size": 64}, "of another shape"),
    ],
)
def test_configs_that_are_refused(make: Make, changes: dict[str, Any], message: str) -> None:
    directory = make("Wav2Vec2")
    change(directory / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_speech(str(directory))
    assert "\n" not in str(caught.value)


def test_other_refusals(make: Make) -> None:
    directory = make("Whisper")
    with pytest.raises(CheckpointError, match="--layers is for encoders"):
        read_speech(str(directory), None, 1)
    change(directory / "preprocessor_config.json", feature_size=128)
    with pytest.raises(
        CheckpointError,
        match=r"width 128, the network .* of width 80",
    ):
        read_speech(str(directory))
    change(directory / "preprocessor_config.json", feature_size=80, do_normalize=True)
    with pytest.raises(CheckpointError, match="do_normalize True is not supported"):
        read_speech(str(directory))
    change(directory / "preprocessor_config.json", feature_extractor_type="EncodecFeatureExtractor")
    with pytest.raises(CheckpointError, match="EncodecFeatureExtractor' is not supported"):
        read_speech(str(directory))
    (directory / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no preprocessor_config\.json"):
        read_speech(str(directory))
    encoder = make("Hubert", "Model")
    with pytest.raises(CheckpointError, match=r"no classification head\. Give --pooling"):
        read_speech(str(encoder))
    with pytest.raises(CheckpointError, match="--layers 3: it has 2 layers"):
        read_speech(str(encoder), "mean", 3)
    (encoder / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has an adapter"):
        read_speech(str(encoder), "mean")


@pytest.mark.parametrize(
    ("name", "rate", "message"),
    [
        ("Wav2Vec2", 0, "sampling_rate 0 is not a rate in Hz from 4,000 to 192,000"),
        ("Wav2Vec2", 1_000_000, "sampling_rate 1000000 is not a rate"),
        ("Hubert", 16_000.5, r"sampling_rate 16000\.5 is not a rate"),
        ("WavLM", "16 kHz", "sampling_rate '16 kHz' is not a rate"),
        ("Wav2Vec2Bert", 8000, "sampling_rate 8000 is not supported, only 16000"),
        ("Whisper", 44_100, "sampling_rate 44100 is not supported, only 16000"),
        ("AST", 8000, "sampling_rate 8000 is not supported, only 16000"),
    ],
)
def test_wrong_rates(make: Make, name: str, rate: object, message: str) -> None:
    directory = make(name)
    change(directory / "preprocessor_config.json", sampling_rate=rate)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_speech(str(directory))
    assert "\n" not in str(caught.value)


def test_samples_have_the_rate_of_the_preprocessor(make: Make) -> None:
    directory = make("Wav2Vec2")
    change(directory / "preprocessor_config.json", sampling_rate=8000)
    front_end = make_front_end(read_speech(str(directory)).front_end)
    samples = speechlike(0.5, 8000)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(directory)
    expected = extractor(samples, sampling_rate=8000, return_tensors="np")["input_values"]
    [found] = front_end.whole(samples).parts
    assert front_end.sample_rate == 8000
    assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize(
    ("network", "extractor", "message"),
    [
        (
            "Wav2Vec2",
            SeamlessM4TFeatureExtractor(),
            "kaldi_fbank .* of width 160, .* reads waveform",
        ),
        ("Wav2Vec2Bert", WAVEFORM, "waveform .* of width 1, .* of width 160"),
        (
            "Whisper",
            ASTFeatureExtractor(num_mel_bins=80),
            "kaldi_fbank .* reads log_mel",
        ),
    ],
)
def test_features_of_another_architecture(
    make: Make, network: str, extractor: Any, message: str
) -> None:
    directory = make(network)
    extractor.save_pretrained(directory)
    with pytest.raises(CheckpointError, match=message):
        read_speech(str(directory))


def test_config_distinguishes_speech_from_text() -> None:
    assert is_speech({"model_type": "wavlm"})
    assert is_speech({"model_type": "emo-speech"})
    assert not is_speech({"model_type": "bert"})
