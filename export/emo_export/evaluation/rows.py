"""The rows that an export is measured on: texts, with sound and labels where there are any."""

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.manifest import Audio
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]

SHIPPED = "the evaluation sentences that ship with emo-export"
_DATA = "emo_export"
_SEED = 20240612
# Of the sentences that ship, every 13th serves static quantization: some of each label, and the
# others are still more than 500.
_QUANTIZING = 13


@dataclass(frozen=True)
class Row:
    """One utterance: its transcript, and where its sound lies and what it expresses, if known."""

    text: str
    audio: Path | None = None
    label: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """Rows with the name of where they came from (a file's name, never its path)."""

    name: str
    rows: tuple[Row, ...]

    @property
    def texts(self) -> list[str]:
        """The transcripts."""
        return [row.text for row in self.rows]

    def label_ids(self, labels: tuple[str, ...]) -> NDArray[np.int64] | None:
        """Indices into ``labels``, shape [rows]; None unless every row has a known label."""
        if any(row.label not in labels for row in self.rows):
            return None
        return np.array([labels.index(row.label or "") for row in self.rows], np.int64)

    def mfcc(self, contract: Audio) -> Floats:
        """Mean MFCC vectors [rows, n_mfcc]: of the rows' sound, or seeded ones where it is missing.

        The seeded ones lie around that of the golden clip, as far as clips lie from each other.
        """
        clip, sample_rate = golden_clip()
        extract = MeanMfcc(contract)
        typical = extract(load_audio((clip, sample_rate), contract.sample_rate))
        random = np.random.default_rng(_SEED)
        vectors = []
        for row in self.rows:
            noise = random.standard_normal((2, contract.n_mfcc))
            if row.audio is not None:
                vectors.append(extract(load_audio(row.audio, contract.sample_rate)))
            else:
                vectors.append(
                    typical * (1 + 0.3 * noise[0])
                    + 5 * noise[1] / np.sqrt(1 + np.arange(contract.n_mfcc))
                )
        return np.asarray(vectors, np.float32)


def shipped_sentences() -> Evaluation:
    """Spanish sentences of our own, balanced over the six emotions."""
    with files(_DATA).joinpath("data/sentences.csv").open(encoding="utf-8") as stream:
        rows = tuple(Row(text=row["text"], label=row["label"]) for row in csv.DictReader(stream))
    return Evaluation(SHIPPED, rows)


def split_quantization_rows(evaluation: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Rows to evaluate on, and the sentences that static quantization is fitted to: no leak.

    The latter are some of those that ship: taken out of the former where these ship too, else
    those that do not stand there. Raises EmoError where all of them do.
    """
    shipped, name = shipped_sentences().rows, "sentences that ship"
    if evaluation.name == SHIPPED:
        fitted = shipped[::_QUANTIZING]
        kept = tuple(row for row in evaluation.rows if row not in fitted)
        return Evaluation(evaluation.name, kept), Evaluation(name, fitted)
    evaluated = {text.strip() for text in evaluation.texts}
    free = tuple(row for row in shipped if row.text.strip() not in evaluated)
    if not free:
        raise EmoError(
            f"{evaluation.name} holds every sentence that ships: none is left to fit int8-qdq to. "
            "Take some out."
        )
    return evaluation, Evaluation(name, free[::_QUANTIZING])


def golden_clip() -> tuple[Floats, int]:
    """About a second of synthetic speech of our own: samples [time] and their rate in Hz."""
    data = files(_DATA).joinpath("data/golden.wav").read_bytes()
    return load_audio(data, _GOLDEN_RATE), _GOLDEN_RATE


_GOLDEN_RATE = 16_000


def read_rows(path: Path) -> Evaluation:
    """Rows of a CSV with the columns text (or transcription), and audio and label if known.

    Paths of sound are relative to the file. Raises EmoError where the file can't be read so.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            text = next((name for name in ("text", "transcription") if name in columns), None)
            if text is None:
                raise EmoError(f"{path}: has no column 'text' (its columns: {columns}).")
            rows = tuple(
                Row(
                    text=row[text],
                    audio=path.parent / row["audio"] if row.get("audio") else None,
                    label=row.get("label") or None,
                )
                for row in reader
                if row[text] and row[text].strip()
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmoError(f"{path}: can't be read as CSV in UTF-8: {error}.") from error
    if not rows:
        raise EmoError(f"{path}: holds no row with a text.")
    return Evaluation(path.name, rows)


def refuse_leak(evaluate: Evaluation, calibrate: Evaluation) -> None:
    """Raise EmoError where a transcript stands in both: its score would be flattered."""
    both = {text.strip() for text in evaluate.texts} & {text.strip() for text in calibrate.texts}
    if both:
        raise EmoError(
            f"{len(both)} rows of {calibrate.name} (--calibrate) also stand in {evaluate.name} "
            f"(--evaluate), the first: {min(both)!r:.100}. Take them out of one of the two."
        )
