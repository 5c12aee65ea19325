import json
from pathlib import Path

import pytest
import torch

from emo_models.checkpoint import (
    AnyFusion,
    load_fusion,
    load_speech,
    replaced,
    save_fusion,
    save_speech,
    save_text,
)
from emo_models.errors import CheckpointError
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.fusion import FusionConfig, FusionNetwork, TrainedFusion
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.source import file_sha256
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_runtime.bundle.front_ends import LogMelSettings


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_checkpoint_comes_back(tmp_path: Path, encoder: Path, pooling: str) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling=pooling), seed=1)
    save_text(tmp_path / "text", model, tokenizer, temperature=1.25, metrics={"rows": 3})
    read = load_text(tmp_path / "text")
    again, tokenizer = read.module, read.tokenizer
    assert read.sha256 == file_sha256(tmp_path / "text" / "model.safetensors")
    assert (read.temperature, read.max_tokens) == (1.25, 24)
    batch = tokenizer(["qué pena", "fiesta"], padding=True, return_tensors="pt")
    torch.testing.assert_close(again(**batch).logits, model.half().float().eval()(**batch).logits)
    assert next(again.parameters()).dtype == torch.float32
    config = json.loads((tmp_path / "text" / "config.json").read_text())
    assert (config["pooling"], config["temperature"]) == (pooling, 1.25)
    assert json.loads((tmp_path / "text" / "metrics.json").read_text()) == {"rows": 3}
    states = load_encoder(tmp_path / "text").module(**batch)[0]
    torch.testing.assert_close(states, again.bert(**batch)[0])


@pytest.mark.parametrize("variant", ["plain", "attention", "multihead"])
def test_a_fusion_checkpoint_comes_back(tmp_path: Path, variant: str) -> None:
    network = FusionNetwork(
        FusionConfig(variant=variant, n_mfcc=56, hidden=32, present_input=True)  # type: ignore[arg-type]
    )
    network.audio_shift.fill_(-20)
    network.details = TrainedFusion(1.5, "ab" * 32, {"n_mfcc": 56})
    save_fusion(tmp_path / "fusion", network)
    again = load_fusion(tmp_path / "fusion")
    assert (again.config, again.details) == (network.config, network.details)
    audio, text = torch.randn(2, 56), torch.randn(2, 32)
    expected = network.half().float().eval()(audio, text)
    torch.testing.assert_close(again(audio, text), expected)
    assert len(file_sha256(tmp_path / "fusion" / "model.safetensors")) == 64


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    target = tmp_path / "checkpoint"
    with replaced(target) as new:
        (new / "config.json").write_text("old")

    def fail() -> None:
        with replaced(target) as new:
            (new / "config.json").write_text("new")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        fail()
    assert (target / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_invalid_checkpoints_are_refused_with_the_reason(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        load_text(tmp_path)
    with pytest.raises(CheckpointError, match="expected 'emo-fusion'"):
        load_fusion(encoder)
    save_fusion(tmp_path / "fusion", FusionNetwork(FusionConfig(hidden=32)))
    path = tmp_path / "fusion" / "config.json"
    path.write_text(path.read_text().replace('"hidden": 32', '"hidden": 48'))
    with pytest.raises(CheckpointError, match="size mismatch"):
        load_fusion(tmp_path / "fusion")
    weights = tmp_path / "fusion" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="incomplete fusion checkpoint"):
        load_fusion(tmp_path / "fusion")
    path.write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        load_fusion(tmp_path / "fusion")


@pytest.mark.parametrize("late", [True, False])
def test_a_fusion_network_of_speech_embeddings_comes_back(tmp_path: Path, late: bool) -> None:
    network: AnyFusion
    if late:
        network = LateFusionNetwork(LateFusionConfig(audio_width=24, hidden=16))
    else:
        network = FusionNetwork(FusionConfig(audio_width=24, hidden=16, fused=32))
    network.details = TrainedFusion(1.5, "ab" * 32, speech_sha256="cd" * 32)
    save_fusion(tmp_path / "fusion", network)
    again = load_fusion(tmp_path / "fusion")
    assert (again.config, again.details) == (network.config, network.details)
    config = json.loads((tmp_path / "fusion" / "config.json").read_text())
    assert config["audio_width"] == 24
    assert "n_mfcc" not in config


def test_a_speech_network_comes_back(tmp_path: Path) -> None:
    shape = SpeechConfig(n_mels=20, width=16, heads=2, inner=24, positions=30)
    network = SpeechEmotionModel(shape).eval()
    network.population_mean.normal_()
    save_speech(tmp_path / "speech", network, LogMelSettings(n_mels=20), temperature=1.2)
    again = load_speech(tmp_path / "speech")
    assert again.config == shape
    features = torch.randn(1, 20, 30)
    for found, expected in zip(again(features), network(features), strict=True):
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.02)  # stored in float16


def test_incomplete_speech_networks_are_refused(tmp_path: Path) -> None:
    shape = SpeechConfig(n_mels=20, width=16, heads=2, inner=24, positions=30)
    save_speech(tmp_path / "speech", SpeechEmotionModel(shape), LogMelSettings(n_mels=20))
    config = json.loads((tmp_path / "speech" / "config.json").read_text())
    for change, message in (
        ({"layers": 2, "pooled_layers": [2]}, "incomplete"),
        ({"width": 32}, "size mismatch"),
        ({"heads": 3}, "multiple of heads"),
        ({"model_type": "bert"}, "not a speech network"),
    ):
        (tmp_path / "speech" / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(CheckpointError, match=message):
            load_speech(tmp_path / "speech")
