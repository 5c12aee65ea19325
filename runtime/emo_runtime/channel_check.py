"""Detect transcripts that were assigned to the wrong channels of a two-channel call."""

import math
from collections.abc import Sequence

import numpy as np

from emo_runtime.audio.recording import Recording
from emo_runtime.errors import EmoError
from emo_runtime.text.cues import Cue

_CUES = 16
_MIN_CUES = 3
_MIN_SHARE = 0.8
_MIN_DIFFERENCE_DB = 6.0
_MIN_CUE_S = 0.2


def channels_look_swapped(recording: Recording, cues: Sequence[Cue]) -> bool:
    """True if the other channel is clearly louder under most cues.

    The levels of both channels are compared under the longest cues; cues of less than 0.2 s and
    cues without a channel are ignored. A recording with the same sound in both channels is never
    reported.
    """
    if recording.channels != 2:
        return False
    usable = [
        cue
        for cue in cues
        if cue.channel in {0, 1} and cue.problem is None and cue.end_s - cue.start_s >= _MIN_CUE_S
    ]
    usable.sort(key=lambda cue: cue.start_s - cue.end_s)
    differences = []
    for cue in usable[:_CUES]:
        try:
            own, other = (_level_db(recording, cue, channel) for channel in _channels(cue))
        except EmoError:
            continue  # Reported in the answer of the cue.
        differences.append(other - own)
    swapped = sum(difference >= _MIN_DIFFERENCE_DB for difference in differences)
    return len(differences) >= _MIN_CUES and swapped >= _MIN_SHARE * len(differences)


def _channels(cue: Cue) -> tuple[int, int]:
    own = int(cue.channel or 0)
    return own, 1 - own


def _level_db(recording: Recording, cue: Cue, channel: int) -> float:
    samples = recording.slice(cue.start_s, cue.end_s, channel).samples
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10 * math.log10(max(power, 1e-10))
