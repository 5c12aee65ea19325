"""Detection of telephone-band sound for a model that was trained on a wider band."""

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import TELEPHONE_HZ
from emo_runtime.bundle.front_ends import FrontEndBase

Floats = NDArray[np.float32]

_RANGE_DB = 80.0


def wants_check(settings: FrontEndBase) -> bool:
    """True unless the model is known to be trained on telephone-band sound only."""
    trained_hz = settings.bandwidth_hz
    return trained_hz is None or trained_hz > TELEPHONE_HZ


def is_narrow(frames_db: Floats, high_bands: int, edge: int = 0) -> bool:
    """True if every band from ``high_bands`` on lies 80 dB or more below the peak.

    Args:
        frames_db: Power of mel bands in dB, [frames, bands].
        high_bands: First band above the telephone band.
        edge: Frames to skip at either end. They reach into the padding, and the step there has
            energy in all bands.
    """
    high = frames_db[edge : len(frames_db) - edge, high_bands:]
    return bool(high.size and high.max() <= frames_db.max() - np.float32(_RANGE_DB))
