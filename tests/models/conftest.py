"""A tiny encoder, tables and clips: every recipe runs in a short time."""

import csv
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

from emo_models.checkpoint import save_text
from emo_models.labels import LABELS
from emo_models.training.tokenizer import save_tokenizer, train_tokenizer

WORDS = {
    "anger": "vergüenza furia rabia",
    "disgust": "asco mentira corrupción",
    "fear": "miedo pánico terror",
    "joy": "alegría fiesta feliz",
    "neutral": "informe reunión lunes",
    "sadness": "pena llanto triste",
}
HIDDEN = 16
Table = Callable[[Path, tuple[str, ...], list[tuple[str, ...]]], Path]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Use one thread: more threads do not speed up tiny matrices."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of an untrained BERT of 2 x 16 with its own vocabulary."""
    directory = tmp_path_factory.mktemp("encoder")
    tokenizer = train_tokenizer(lambda: list(WORDS.values()) * 3, vocab_size=120)
    save_tokenizer(tokenizer, directory / "tokenizer", positions=24)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        ),
        add_pooling_layer=False,
    )
    save_text(
        directory / "checkpoint", model, AutoTokenizer.from_pretrained(directory / "tokenizer")
    )
    return directory / "checkpoint"


def _write_table(path: Path, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


@pytest.fixture
def write_table() -> Table:
    """``write_table(path, columns, rows)``: a CSV file."""
    return _write_table


def _write_texts(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, count in (("train", 20), ("test", 4)):
        rows = [
            (f"{name}-{label}-{i}", label, f"{name} {' '.join(rng.permutation(words.split()))} {i}")
            for label, words in WORDS.items()
            for i in range(count)
        ]
        _write_table(folder / f"{name}.csv", ("id", "label", "text"), rows)
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """train.csv and test.csv: sentences whose words determine the label."""
    return _write_texts(tmp_path)


@pytest.fixture(scope="session")
def shared_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for all tests: never change them."""
    return _write_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """clips.csv: tones of 6 speakers whose pitch determines the label."""
    folder = tmp_path / "clips"
    folder.mkdir()
    rng = np.random.default_rng(1)
    rows = []
    for number, label in enumerate(LABELS):
        for speaker in range(6):
            name = f"{label}-{speaker}.wav"
            time = np.arange(4000) / 8000
            tone = 0.3 * np.sin(2 * np.pi * (150 + 300 * number) * time)
            soundfile.write(folder / name, tone + 0.01 * rng.normal(size=4000), 8000)
            rows.append((name, label, f"s{speaker}"))
    return _write_table(folder / "clips.csv", ("file", "label", "speaker"), rows)


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of an untrained Whisper of 3 x 16, with the names of a whole model on the Hub."""
    directory = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=60,
            num_mel_bins=20,
            d_model=16,
            encoder_layers=3,
            encoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_layers=1,
            decoder_attention_heads=2,
            decoder_ffn_dim=16,
            max_source_positions=60,
            max_target_positions=10,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=3,
        )
    )
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def speech_tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two corpora of synthetic clips: 3 speakers, 3 labels that differ in their pitch."""
    tables = []
    rng = np.random.default_rng(0)
    for corpus in ("first", "second"):
        directory = tmp_path_factory.mktemp(corpus)
        lines = ["file,label,speaker"]
        for speaker, label, take in product(range(3), range(3), range(3)):
            length = int(rng.integers(6400, 9600))
            time = np.arange(length) / 16_000
            pitch = (250, 900, 3000)[label] * (1 + 0.05 * speaker)
            samples = 0.2 * np.sin(2 * np.pi * pitch * time) + 0.01 * rng.standard_normal(length)
            name = f"{speaker}_{label}_{take}.wav"
            soundfile.write(directory / name, samples.astype(np.float32), 16_000)
            lines.append(f"{name},{('anger', 'joy', 'neutral')[label]},s{speaker}")
        table = directory / f"{corpus}.csv"
        table.write_text("\n".join(lines) + "\n")
        tables.append(table)
    return tables[0], tables[1]
