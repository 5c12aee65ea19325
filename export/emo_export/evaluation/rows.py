"""Evaluation rows of an export: texts, with sound and labels where there are any."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_export.evaluation.inputs import Sound
from emo_export.evaluation.synthetic_clips import SAMPLE_RATE as SYNTHETIC_RATE
from emo_export.evaluation.synthetic_clips import synthetic_clips
from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import targets_of
from emo_models.errors import DataError
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.features import Features
from emo_runtime.audio.front_end import make_front_end
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.front_ends import FrontEndSettings, MeanMfccSettings
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]

SHIPPED = "the evaluation sentences that ship with emo-export"
SHIPPED_CLIPS = "synthetic speech-like clips of emo-export"
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

    def sound(self, settings: FrontEndSettings) -> Sound:
        """Return the sound of the rows: their own, or synthetic where they have none.

        For mean MFCCs the synthetic sound is a vector for each row, otherwise one of the clips of
        ``synthetic_clips`` in turn.
        """
        if isinstance(settings, MeanMfccSettings):
            return Sound.of_vectors(self.mfcc(settings))
        front_end = make_front_end(settings)
        rate = front_end.sample_rate
        sources: list[Any] = [row.audio for row in self.rows]
        places: list[int] = []
        clips: list[Features] = []
        made: dict[object, int] = {}
        fallback = synthetic_clips() if None in sources else ()
        for number, source in enumerate(sources):
            key = number if source else -1 - number % len(fallback)
            if key not in made:
                clip = source or (fallback[number % len(fallback)], SYNTHETIC_RATE)
                made[key] = len(clips)
                clips.append(front_end.whole(load_audio(clip, rate)))
            places.append(made[key])
        return Sound(np.array(places, np.int64), tuple(clips))

    def mfcc(self, contract: MeanMfccSettings) -> Floats:
        """Mean MFCC vectors [rows, n_mfcc]: of the rows' sound, or seeded ones where it is missing.

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


def shipped_clips() -> Evaluation:
    """Return rows of synthetic clips without transcripts, for a bundle without text."""
    return Evaluation(
        SHIPPED_CLIPS,
        tuple(
            Row(str(number), "", None, None, "", f"clip {number}")
            for number in range(len(synthetic_clips()))
        ),
    )


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


def read_rows(
    path: Path, layout: TableFormat | None = None, *, with_text: bool = True
) -> Evaluation:
    """Read the rows of a table with a transcript, and sound and label where there are any.

    Args:
        path: The table.
        layout: How it is read.
        with_text: False for a bundle that reads sound only: every row needs sound.

    Raises:
        DataError: the table can't be read, a text is empty, or only some rows have a label.
    """
    needs = Needs(text=with_text, audio=not with_text, label=False)
    rows = read_csv(path, needs=needs, layout=layout)
    labelled = [row for row in rows if row.label]
    if labelled and len(labelled) < len(rows):
        missing = next(row for row in rows if not row.label)
        raise DataError(
            f"{missing.where}: has no label, other rows have one. Give every row a label, or none."
        )
    return Evaluation(path.name, tuple(rows))


def refuse_leak(evaluate: Evaluation, calibrate: Evaluation) -> None:
    """Raise EmoError where a transcript, or sound without one, is in both tables."""
    both = _keys(evaluate) & _keys(calibrate)
    if both:
        raise EmoError(
            f"{len(both)} rows of {calibrate.name} (--calibrate) are also in {evaluate.name} "
            f"(--evaluate), the first: {min(both)!r:.100}. Take them out of one of the two."
        )


def _keys(evaluation: Evaluation) -> set[str]:
    """Transcripts, or files of sound where there are none."""
    return {(row.text or "").strip() or str(row.audio) for row in evaluation.rows}
