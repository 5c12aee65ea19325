"""SpecAugment: hide a part of the frames and of the channels of a clip.

Park et al., "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition"
(2019), on log-mel features; as in wav2vec 2.0 also on the states of a frozen encoder. What is
hidden is replaced by the channel's mean over the clip.
"""

from __future__ import annotations

import numpy as np


def spec_augment(
    states: np.ndarray, time_share: float, channel_share: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a copy with one mask over time and one over channels, of random widths.

    Args:
        states: [time, channels].
        time_share: Largest share of the frames in a mask; 0: none.
        channel_share: Largest share of the channels in a mask; 0: none.
        rng: Generator.
    """
    frames = _mask(states.shape[0], time_share, rng)
    channels = _mask(states.shape[1], channel_share, rng)
    if frames.start == frames.stop and channels.start == channels.stop:
        return states
    masked = states.copy()
    mean = states.mean(0, dtype=np.float32).astype(states.dtype)
    masked[frames] = mean
    masked[:, channels] = mean[channels]
    return masked


def _mask(length: int, share: float, rng: np.random.Generator) -> slice:
    width = int(rng.integers(int(share * length) + 1)) if share else 0
    start = int(rng.integers(length - width + 1)) if width else 0
    return slice(start, start + width)
