"""Speech checkpoints without the tensors of their base: read back, and refused without it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from emo_models.checkpoint import load_speech, save_speech
from emo_models.errors import CheckpointError
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_runtime.bundle.front_ends import LogMelSettings

SHAPE = SpeechConfig(
    n_mels=20, width=16, heads=2, inner=24, positions=20, layers=2, pooled_layers=(1, 2)
)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path, SpeechEmotionModel]:
    """A checkpoint of which only the second layer and the head were trained, and its base."""
    torch.manual_seed(0)
    network = SpeechEmotionModel(SHAPE).eval()
    encoder = {f"encoder.{name}": value for name, value in network.encoder.state_dict().items()}
    base = {name: value.half().float().clone() for name, value in encoder.items()}
    folder = tmp_path / "whisper"
    folder.mkdir()
    save_file(base, folder / "model.safetensors")
    for parameter in network.encoder.layers[1].parameters():
        parameter.data += 1
    save_speech(tmp_path / "speech", network, LogMelSettings(n_mels=20), base=("a/whisper", base))
    return tmp_path / "speech", folder, network


def test_only_what_changed_is_written(trained) -> None:
    directory, _, _ = trained
    kept = load_file(directory / "model.safetensors")
    assert {name.split(".")[2] for name in kept if name.startswith("encoder.layers")} == {"1"}
    assert not any(name.startswith("encoder.conv") for name in kept)
    assert {"head.weight", "head.bias", "population_mean"} <= set(kept)


def test_it_comes_back_with_its_base(trained) -> None:
    directory, base, network = trained
    (directory / "base").symlink_to(base)
    features = torch.randn(1, 20, 12)
    expected = network.half().float()(features)[0]
    torch.testing.assert_close(load_speech(directory)(features)[0], expected)


def test_without_its_base_it_is_refused(trained) -> None:
    directory, base, _ = trained
    with pytest.raises(CheckpointError, match=r"needs the weights of a/whisper.*Put a copy"):
        load_speech(directory)
    other = load_file(base / "model.safetensors")
    other["encoder.conv1.bias"] += 1
    (directory / "base").mkdir()
    save_file(other, directory / "base" / "model.safetensors")
    with pytest.raises(CheckpointError, match="not those that"):
        load_speech(directory)
    del other["encoder.conv1.bias"]
    save_file(other, directory / "base" / "model.safetensors")
    with pytest.raises(CheckpointError, match="not the weights of a/whisper"):
        load_speech(directory)
    (directory / "base" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="not the weights of a/whisper"):
        load_speech(directory)
    config = json.loads((directory / "config.json").read_text())
    assert set(config["base"]) == {"name", "sha256"}
