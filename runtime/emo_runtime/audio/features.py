"""Output of a front end, and the division of long sound into windows."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """Inputs of the next graph for one utterance.

    Attributes:
        parts: One array [1, ...], or one for each window of a long sound.
        lengths: Time steps of each part without padding: the weights for averaging embeddings.
        truncated: True if the end of the sound was dropped because it is longer than ``max_s``.
    """

    parts: tuple[Floats, ...]
    lengths: tuple[int, ...]
    truncated: bool = False


def split_windows(length: int, limit: int | None) -> list[slice]:
    """Divide ``length`` time steps into the fewest consecutive windows of at most ``limit`` steps.

    The windows have equal lengths, except for one step where the division leaves a remainder: a
    short last window would be embedded from almost no sound.
    """
    count = 1 if limit is None else max(1, math.ceil(length / limit))
    edges = [length * index // count for index in range(count + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(edges)]


def average_windows(embeddings: Floats, lengths: tuple[int, ...]) -> Floats:
    """Mean [1, width] of window embeddings [windows, width], weighted by the windows' lengths."""
    if len(lengths) == 1:
        return embeddings
    weights = np.array(lengths, np.float64) / sum(lengths)
    mean: Floats = (weights[np.newaxis] @ embeddings).astype(np.float32)
    return mean
