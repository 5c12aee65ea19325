"""Evaluation rows of an export: texts with optional sound and labels."""

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
from emo_models.data.multi_label import label_matrix
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
# Every 13th built-in sentence is used for static quantization. That includes some of each label,
# and leaves more than 500 for the evaluation.
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

    def targets(self, labels: tuple[str, ...], *, multi_label: bool = False) -> NDArray[Any] | None:
        """Return indices into ``labels``, shape [rows]; None for rows without labels.

        For a multi-label task, whether each row has each label, [rows, labels]. None for the
        built-in sentences if the model has other labels, or is multi-label.

        Raises:
            DataError: a label that the model does not have; names the row.
        """
        if not any(row.label for row in self.rows):
            return None
        if self.name == SHIPPED and (
            multi_label or not {row.label for row in self.rows} <= set(labels)
        ):
            return None
        if multi_label:
            return label_matrix(self.rows, labels)
        if any(row.labels is not None for row in self.rows):
            raise DataError(
                f"{self.name}: --label-separator is for multi-label classifiers, and this one "
                "gives one label for each row."
            )
        return targets_of(self.rows, labels)

    def sound(self, settings: FrontEndSettings) -> Sound:
        """Return the sound of the rows, or synthetic sound for rows without any.

        For mean MFCCs, the synthetic sound is one vector per row. Otherwise the rows use the clips
        of ``synthetic_clips`` in turn.
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
        """Return mean MFCC vectors [rows, n_mfcc] of the rows' sound; random ones if it is missing.

        The random vectors are seeded, and centred on the golden clip's with the spread of real
        clips.
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
    """Return this project's Spanish sentences, balanced over the six emotions."""
    with as_file(files(_DATA).joinpath("data/sentences.csv")) as path:
        return Evaluation(SHIPPED, tuple(read_csv(path, needs=Needs(text=True))))


def split_quantization_rows(evaluation: Evaluation) -> tuple[Evaluation, Evaluation]:
    """Return rows to evaluate on, and disjoint built-in sentences to fit static quantization to.

    Raises:
        EmoError: no sentence is left to fit to.
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
    """Return about 1 s of synthetic speech: samples [time] and their rate in Hz."""
    data = files(_DATA).joinpath("data/golden.wav").read_bytes()
    return load_audio(data, _GOLDEN_RATE), _GOLDEN_RATE


_GOLDEN_RATE = 16_000


def read_rows(
    path: Path, layout: TableFormat | None = None, *, with_text: bool = True
) -> Evaluation:
    """Read the rows of a table with transcripts, and optional sound and labels.

    Args:
        path: The table.
        layout: Columns, delimiter and encoding of the table.
        with_text: False for an audio-only bundle: every row needs sound.

    Raises:
        DataError: unreadable table, empty text, or only some rows have a label.
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
    """Raise EmoError if a transcript, or sound without a transcript, is in both tables."""
    both = _keys(evaluate) & _keys(calibrate)
    if both:
        raise EmoError(
            f"{len(both)} rows of {calibrate.name} (--calibrate) are also in {evaluate.name} "
            f"(--evaluate), the first: {min(both)!r:.100}. Take them out of one of the two."
        )


def _keys(evaluation: Evaluation) -> set[str]:
    """Return the transcripts, or the sound files of rows without a transcript."""
    return {(row.text or "").strip() or str(row.audio) for row in evaluation.rows}
