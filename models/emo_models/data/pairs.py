"""Pairs of sound and text: a corpus's own pairs, or label-matched ones.

No free Spanish corpus has sound, transcript and label together. A label-matched pair is a
transcript and a clip of another corpus with the same label: the network learns to fuse, but its
score is not comparable with one on a corpus of real pairs, and every report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_models.errors import DataError

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Row numbers of paired sound and text, and their class, int64 [pairs] each."""

    audio: Ints
    text: Ints
    labels: Ints


def own_pairs(labels: Sequence[int]) -> Pairs:
    """Pair each row with itself, for a corpus with sound and text."""
    numbers = np.arange(len(labels))
    return Pairs(numbers, numbers, np.asarray(labels, dtype=np.int64))


def matched_pairs(
    text_labels: Sequence[int],
    audio_labels: Sequence[int],
    seed: Sequence[int],
    *,
    both: bool,
    labels: Sequence[str],
) -> Pairs:
    """Pair each text with a random clip of its label; with ``both``, each clip with a text too.

    Args:
        text_labels: class of each text.
        audio_labels: class of each clip.
        seed: seed of the random pairing.
        both: add one pair per clip, so that classes rare in text are trained on as well.
        labels: label words in class order.

    Raises:
        DataError: a label that occurs only in the texts or only in the clips.
    """
    texts = np.asarray(text_labels, dtype=np.int64)
    clips = np.asarray(audio_labels, dtype=np.int64)
    rng = np.random.default_rng(list(seed))
    audio = _partners(texts, clips, rng, "sound", labels)
    if not both:
        return Pairs(audio, np.arange(len(texts)), texts)
    text = _partners(clips, texts, rng, "text", labels)
    return Pairs(
        np.concatenate([audio, np.arange(len(clips))]),
        np.concatenate([np.arange(len(texts)), text]),
        np.concatenate([texts, clips]),
    )


def joined(pairs: Sequence[Pairs]) -> Pairs:
    """Concatenate several sets of pairs."""
    return Pairs(
        np.concatenate([each.audio for each in pairs]),
        np.concatenate([each.text for each in pairs]),
        np.concatenate([each.labels for each in pairs]),
    )


def _partners(
    wanted: Ints, offered: Ints, rng: np.random.Generator, side: str, labels: Sequence[str]
) -> Ints:
    chosen = np.empty(len(wanted), dtype=np.int64)
    for label in np.unique(wanted):
        candidates = np.flatnonzero(offered == label)
        if not len(candidates):
            raise DataError(
                f"no {side} with the label {labels[label]!r}: label-matched pairs need each label "
                "on both sides. Add a corpus that has it, or leave the label out."
            )
        members = np.flatnonzero(wanted == label)
        chosen[members] = candidates[rng.integers(len(candidates), size=len(members))]
    return chosen
