"""``emo-train fusion --speech-encoder`` on a tiny Whisper, a tiny BERT and synthetic clips."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from emo_models.checkpoint import load_fusion, load_speech
from emo_models.data.corpora import Needs, read_csv
from emo_models.data.speakers import FIRST, Profile
from emo_models.data.speech_embeddings import (
    adapted_embeddings,
    read_speech_source,
    speech_embeddings,
)
from emo_models.errors import CheckpointError
from emo_models.modeling.late_fusion import LateFusionNetwork
from emo_models.modeling.load import load_text
from emo_models.modeling.source import weights_sha256
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.log_mel import LogMel
from helpers.emo_train import good, run

LABELS = ("anger", "joy", "neutral")
WORDS = {"anger": "furia rabia", "joy": "fiesta feliz", "neutral": "informe lunes"}


@pytest.fixture(scope="module")
def speech(
    speech_tables: tuple[Path, Path], whisper: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("speech") / "run"
    good("speech", "--train", speech_tables[0], "--encoder", whisper, "--layers", 3,
         "--epochs", 1, "--copies", 0, "--batch-size", 8, "--output", output)  # fmt: skip
    return output / "checkpoint"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name, count in (("train", 20), ("test", 5)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("id", "text", "label"))
            writer.writerows(
                (f"{name}-{label}-{i}", f"{name} {words} {i}", label)
                for label, words in WORDS.items() for i in range(count)
            )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def text(tables: Path, encoder: Path) -> Path:
    good("text", "--train", tables / "train.csv", "--encoder", encoder, "--pooling", "mean",
         "--epochs", 2, "--learning-rate", 5e-3, "--output", tables / "run")  # fmt: skip
    return tables / "run" / "checkpoint"


@pytest.fixture
def fusion(
    tables: Path, text: Path, speech: Path, speech_tables: tuple[Path, Path], tmp_path: Path
) -> Callable[..., Path]:
    """Return a function that runs ``emo-train fusion`` with more options, and its directory."""

    def train(*more: object) -> Path:
        output = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        good("fusion", "--train", tables / "train.csv", "--test", tables / "test.csv",
             "--clips", speech_tables[1], "--encoder", text, "--speech-encoder", speech,
             "--cache", tmp_path / "cache", "--output", output, *more)  # fmt: skip
        return output

    return train


def test_a_network_of_embeddings(fusion: Callable[..., Path], speech: Path) -> None:
    output = fusion("--epochs", 2, "--drop-audio", 0.3, "--drop-text", 0.3, "--fused", 32)
    network = load_fusion(output / "checkpoint")
    assert network.config.audio_width == load_speech(speech).config.embedding_width
    assert network.details.speech_sha256 == weights_sha256(speech)
    config = json.loads((output / "checkpoint" / "config.json").read_text())
    assert "n_mfcc" not in config
    assert "audio" not in config
    metrics = json.loads((output / "checkpoint" / "metrics.json").read_text())
    endings = sorted(name.rsplit("test", 1)[1] for name in metrics["test"])
    kinds = ["", "_audio_only", "_text_only"]
    assert endings == sorted(kinds + [f"_five{kind}" for kind in kinds])
    assert "speech network was trained on" in metrics["notes"][-1]
    assert len(list(output.glob("pairs_*.csv"))) == 1


def test_embeddings_are_read_from_the_cache_of_the_same_network(
    speech: Path, speech_tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_csv(speech_tables[1], needs=Needs(audio=True))[:4]
    source = read_speech_source(speech)
    found = speech_embeddings(rows, source, tmp_path / "cache")
    front_end, network = LogMel(source.front_end), load_speech(speech)  # type: ignore[arg-type]
    for row, vector in zip(rows, found, strict=True):
        features = front_end.whole(load_audio(str(row.audio), 16_000)).parts[0]
        wanted = network(torch.from_numpy(features))[0].detach().numpy()[0]
        np.testing.assert_allclose(vector, wanted, rtol=1e-4, atol=1e-5)
    with monkeypatch.context() as patch:
        patch.setattr("emo_models.data.speech_embeddings.load_audio", None)
        again = speech_embeddings(rows, source, tmp_path / "cache")
    np.testing.assert_array_equal(found, again)
    other = shutil.copytree(speech, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["front_end"]["level"] = None
    (other / "config.json").write_text(json.dumps(config))
    speech_embeddings(rows, read_speech_source(other), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2 * len(rows)


def test_adaptation_is_the_shrunken_mean(speech: Path, speech_tables: tuple[Path, Path]) -> None:
    """(v - (k m0 + sum) / (k + n)) with all other clips of the speaker, DESIGN's formula."""
    rows = read_csv(speech_tables[1], needs=Needs(audio=True))
    source = read_speech_source(speech)
    vectors = np.random.default_rng(0).normal(size=(len(rows), source.width)).astype(np.float32)
    mean = load_speech(speech).population_mean.numpy()
    first = adapted_embeddings(vectors, rows, LABELS, source, profile=FIRST, seed=(0,))
    np.testing.assert_allclose(first, vectors - mean, rtol=1e-4, atol=1e-5)
    every = Profile((len(rows),))
    found = adapted_embeddings(vectors, rows, LABELS, source, profile=every, seed=(0,))
    for number, row in enumerate(rows):
        others = [i for i, other in enumerate(rows) if other.group == row.group and i != number]
        shrunken = (4.0 * mean + vectors[others].sum(0)) / (4.0 + len(others))
        np.testing.assert_allclose(found[number], vectors[number] - shrunken, rtol=1e-4, atol=1e-5)


def test_late_fusion_has_the_heads_of_both_classifiers(
    fusion: Callable[..., Path], speech: Path, text: Path
) -> None:
    network = load_fusion(fusion("--variant", "late", "--audio-weight", 0.75) / "checkpoint")
    assert isinstance(network, LateFusionNetwork)
    classifier, sound = load_text(text), load_speech(speech)
    assert network.config.labels == classifier.labels == sound.config.labels
    audio = torch.randn(5, network.config.audio_width)
    words = torch.randn(5, network.config.hidden)
    heads = (sound.head, classifier.module.classifier)
    logits = [head(part).detach().numpy() for head, part in zip(heads, (audio, words), strict=True)]
    config = json.loads((speech / "config.json").read_text())
    parts = [log_softmax(logits[0] / config["temperature"], 1),
             log_softmax(logits[1] / classifier.temperature, 1)]  # fmt: skip
    with torch.no_grad():
        for present, wanted in (((1.0, 0.0), parts[0]), ((0.0, 1.0), parts[1]),
                                ((1.0, 1.0), 0.75 * parts[0] + parts[1])):  # fmt: skip
            found = network(audio, words, torch.tensor([present] * 5)).numpy()
            np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)  # saved in float16


def test_a_corpus_with_its_own_sound(
    speech: Path, text: Path, speech_tables: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = read_csv(speech_tables[1], needs=Needs(audio=True))
    table = tmp_path / "own.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("id", "audio", "text", "label", "speaker"))
        writer.writerows(
            (str(i), str(row.audio), f"{WORDS[row.label]} {i}", row.label, row.group)
            for i, row in enumerate(rows)
        )
    good("fusion", "--train", table, "--encoder", text, "--speech-encoder", speech, "--epochs", 2,
         "--validation-share", 0.3, "--output", tmp_path / "run")  # fmt: skip
    metrics = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert metrics["rows"]["train_clips"] == 4 * metrics["rows"]["train_texts"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--variant", "late"), "--variant late needs --speech-encoder"),
        (("--speech-encoder", "TEXT"), "not a speech network of emo-train"),
        (("--speech-encoder", "SPEECH", "--variant", "late", "--labels",
          "anger,joy,neutral,fear"), "Late fusion needs classifiers of the same labels"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line(
    tables: Path, text: Path, speech: Path, speech_tables: tuple[Path, Path], tmp_path: Path,
    more: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    names = {"TEXT": text, "SPEECH": speech}
    result = run("fusion", "--train", tables / "train.csv", "--clips", speech_tables[1],
                 "--encoder", text, "--output", tmp_path / "run",
                 *(names.get(word, word) for word in more))  # fmt: skip
    assert result.exit_code == 1
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_a_speech_network_without_a_front_end(speech: Path, tmp_path: Path) -> None:
    other = shutil.copytree(speech, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    del config["front_end"]
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="front_end"):
        read_speech_source(other)
