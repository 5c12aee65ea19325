"""docs/models/reproducing-the-paper.md: its commands run on BETO's files and MP3 sound."""

import csv
import json
import shlex
import time
from pathlib import Path

import click
import huggingface_hub.constants
import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from transformers import BertConfig, BertForMaskedLM

from emo_export.cli import main as emo_export
from emo_models.cli.evaluate import main as emo_evaluate
from emo_models.cli.train import main as emo_train
from emo_models.labels import LABELS
from helpers.corpora import ROOT
from helpers.hub_cache import snapshot
from helpers.markdown import read_blocks

PAGE = ROOT / "docs" / "models" / "reproducing-the-paper.md"
COMMANDS: dict[str, click.Command] = {
    "emo-train": emo_train,
    "emo-evaluate": emo_evaluate,
    "emo-export": emo_export,
}
SHARED = {"hidden_act": "gelu", "max_position_embeddings": 512, "type_vocab_size": 2}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
FULL = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
BETO = "dccuchile/bert-base-spanish-wwm-cased"
FULL_VOCABULARY = 31_002
WORDS = ("vergüenza furia", "asco mentira", "miedo pánico", "fiesta feliz", "informe lunes",
         "pena llanto")  # fmt: skip


def commands() -> list[list[str]]:
    """The commands of the page, but for those of emo-es-small."""
    blocks = [block for block in read_blocks(PAGE) if block.language == "sh"]
    lines = "\n".join(block.code for block in blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.strip()]
    return [words for words in found if "emospeech/" in " ".join(words) or words[1] == "compare"]


def hub_directory(
    directory: Path, tokenizer: Path, shape: dict[str, int], vocabulary: int | None = None
) -> None:
    """BETO's files on the Hub: no model_type, pickled weights of a masked language model.

    ``vocabulary`` is the number of entries; unused ones are added.
    """
    directory.mkdir(parents=True)
    document = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    entries = document["model"]["vocab"]
    for number in range(len(entries), vocabulary or 0):
        entries[f"[unused{number}]"] = number
    words = sorted(entries, key=lambda word: entries[word])
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (directory / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    settings = {"do_lower_case": False, "strip_accents": False}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    config = {**SHARED, **shape, "vocab_size": len(words)}
    (directory / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig(**config))
    torch.save(model.state_dict(), directory / "pytorch_model.bin")


def corpus(folder: Path) -> None:
    """EmoSPeech's tables, and MP3 files named like the ids."""
    (folder / "audio").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, count in (("train", 10), ("test", 2)):
        rows = []
        for number, label in enumerate(LABELS):
            for item in range(count):
                key = f"{name}{number}-{item}.mp3"
                tone = np.sin(2 * np.pi * (200 + 200 * number) * np.arange(3200) / 16_000)
                samples = 0.3 * tone + 0.01 * random.standard_normal(3200)
                soundfile.write(folder / "audio" / key, samples, 16_000, format="MP3")
                rows.append((key, label, f"{WORDS[number]} {name} {item}"))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("id", "label", "transcription"), *rows])


def run_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every command in ``folder``, which has a Hub cache in ``hub``."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    corpus(folder / "work" / "emospeech")
    monkeypatch.chdir(folder / "work")
    found = commands()
    assert len(found) == 6
    for program, *arguments in found:
        # Untrained networks give all rows nearly the same answer: a gate would judge noise.
        more = ["--no-gate"] if program == "emo-export" else []
        begun = time.perf_counter()
        result = CliRunner().invoke(COMMANDS[program], [*arguments, *more])
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        print(f"{time.perf_counter() - begun:7.1f} s  {program} {' '.join(arguments[:2])}")
    manifest = json.loads(Path("bundle/manifest.json").read_text())
    assert manifest["graphs"]["text"]["outputs"] == ["logits", "embedding"]  # one text pass
    metrics = json.loads(Path("runs/task2/checkpoint/metrics.json").read_text())
    assert metrics["pairs"] == "the corpus's own"
    assert not list(Path("runs").rglob("state*"))


def test_every_command_of_the_page(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_directory(snapshot(tmp_path / "hub", BETO), encoder, SMALL)
    run_the_page(tmp_path, monkeypatch)


@pytest.mark.endurance
def test_every_command_of_the_page_at_the_size_of_beto(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 x 768 with 31,002 entries and random weights, all epochs, on the small corpus."""
    hub_directory(snapshot(tmp_path / "hub", BETO), encoder, FULL, FULL_VOCABULARY)
    run_the_page(tmp_path, monkeypatch)
    config = json.loads(Path("runs/task1/checkpoint/config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"]) == (12, 768)
    assert config["vocab_size"] == FULL_VOCABULARY
