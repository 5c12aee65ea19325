"""Evaluation rows of an export: texts, with sound and labels where there are any."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import targets_of
from emo_models.errors import DataError
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
class Evaluation:
    """Rows with the name of their file (never its path)."""

    name: str
    rows: tuple[Row, ...]

    @property
    def texts(self) -> list[str]:
        """The transcripts."""
        return [row.text or "" for row in self.rows]

    def label_ids(self, labels: tuple[str, ...]) -> NDArray[np.int64] | None:
        """Return indices into ``labels``, shape [rows]; None where the rows have no labels.

        None too where the sentences that ship have other labels than the model.

        Raises:
            DataError: a label that the model does not know; names the row.
        """
        if not any(row.label for row in self.rows):
            return None
        if self.name == SHIPPED and not {row.label for row in self.rows} <= set(labels):
            return None
        return targets_of(self.rows, labels)

    def mfcc(self, contract: Audio) -> Floats:
        """Return mean MFCC vectors [rows, n_mfcc]; random, seeded ones for rows without sound.

        The random ones are centred on that of the golden clip, with the spread of real clips.
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
    with as_file(files(_DATA).joinpath("data/sentences.csv")) as path:
        return Evaluation(SHIPPED, tuple(read_csv(path, needs=Needs(text=True))))


def split_quantization_rows(evaluation: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Return rows to evaluate on, and other rows that static quantization is fitted to.

    The latter are some of the sentences that ship, and none of the former. Raises EmoError where
    no sentence is left.
    """
    shipped, name = shipped_sentences().rows, "sentences that ship"
    if evaluation.name == SHIPPED:
        fitted = shipped[::_QUANTIZING]
        kept = tuple(row for row in evaluation.rows if row not in fitted)
        return Evaluation(evaluation.name, kept), Evaluation(name, fitted)
    evaluated = {text.strip() for text in evaluation.texts}
    free = tuple(row for row in shipped if (row.text or "").strip() not in evaluated)
    if not free:
        raise EmoError(
            f"{evaluation.name} contains every sentence that ships with emo-export: none is left "
            "to fit int8-qdq to. Remove some."
        )
    return evaluation, Evaluation(name, free[::_QUANTIZING])


def golden_clip() -> tuple[Floats, int]:
    """About a second of synthetic speech of our own: samples [time] and their rate in Hz."""
    data = files(_DATA).joinpath("data/golden.wav").read_bytes()
    return load_audio(data, _GOLDEN_RATE), _GOLDEN_RATE


_GOLDEN_RATE = 16_000


def read_rows(path: Path, layout: TableFormat | None = None) -> Evaluation:
    """Read the rows of a table with a transcript, and sound and label where there are any.

    Raises:
        DataError: the table can't be read, a text is empty, or only some rows have a label.
    """
    rows = read_csv(path, needs=Needs(text=True, label=False), layout=layout)
    labelled = [row for row in rows if row.label]
    if labelled and len(labelled) < len(rows):
        missing = next(row for row in rows if not row.label)
        raise DataError(
            f"{missing.where}: has no label, other rows have one. Give every row a label, or none."
        )
    return Evaluation(path.name, tuple(rows))


def refuse_leak(evaluate: Evaluation, calibrate: Evaluation) -> None:
    """Raise EmoError where a transcript is in both: its score would be too good."""
    both = {text.strip() for text in evaluate.texts} & {text.strip() for text in calibrate.texts}
    if both:
        raise EmoError(
            f"{len(both)} rows of {calibrate.name} (--calibrate) are also in {evaluate.name} "
            f"(--evaluate), the first: {min(both)!r:.100}. Take them out of one of the two."
        )
