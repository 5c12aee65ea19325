"""Inputs of the graphs: transcripts, and sound as vectors or as features of a front end."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import Features, average_windows

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Run = Callable[[NDArray[Any]], Mapping[str, Floats]]


@dataclass(frozen=True, eq=False)
class Sound:
    """Clips, and the clip of each row; several rows may share one.

    Attributes:
        clips: For a speech graph: the front end's features of each clip.
        vectors: Without a speech graph: the audio vectors [clips, width].
        rows: Index of the clip of each row.
    """

    rows: Ids
    clips: tuple[Features, ...] = ()
    vectors: Floats | None = None

    @classmethod
    def of_vectors(cls, vectors: Floats) -> "Sound":
        """Return one vector [rows, width] for each row."""
        return cls(np.arange(len(vectors)), vectors=vectors)

    @property
    def count(self) -> int:
        """Number of clips."""
        return len(self.clips) if self.vectors is None else len(self.vectors)

    def take(self, step: int) -> tuple["Sound", Ids]:
        """Return every ``step``-th row with the clips that it uses, and those clips' indices."""
        used, rows = np.unique(self.rows[::step], return_inverse=True)
        clips = tuple(self.clips[index] for index in used) if self.clips else ()
        vectors = None if self.vectors is None else self.vectors[used]
        return Sound(rows.astype(np.int64), clips, vectors), used


@dataclass(frozen=True, eq=False)
class Inputs:
    """Transcripts of the rows (empty for a bundle without text), and their optional sound."""

    texts: Sequence[str]
    sound: Sound | None = None


def encode_clips(run: Run, clips: Sequence[Features]) -> dict[str, Floats]:
    """Return the outputs of a speech network for each clip, [clips, width] by name.

    ``run`` computes the outputs for one array of features. The windows of a long clip are averaged,
    weighted by length.
    """
    found: dict[str, list[Floats]] = {}
    for clip in clips:
        parts = [run(part) for part in clip.parts]
        for name in parts[0]:
            rows = np.concatenate([part[name] for part in parts])
            found.setdefault(name, []).append(average_windows(rows, clip.lengths))
    return {name: np.concatenate(rows) for name, rows in found.items()}
