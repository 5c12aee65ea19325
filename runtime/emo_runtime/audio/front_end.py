"""Front ends: convert mono samples to the input of the next graph."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import Features
from emo_runtime.audio.kaldi_fbank import KaldiFbank
from emo_runtime.audio.log_mel import LogMel
from emo_runtime.audio.mean_mfcc import MeanMfccFrontEnd
from emo_runtime.audio.waveform import Waveform
from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    LogMelSettings,
    MeanMfccSettings,
)

Floats = NDArray[np.float32]


class FrontEndStream(Protocol):
    """Stream of one utterance that arrives in packets. Not thread-safe."""

    def feed(self, samples: Floats) -> None:
        """Take samples [time] at the front end's rate. Raises AudioError if one is not finite."""

    def features(self) -> Features:
        """Return features of the sound so far, as if it ended now; later results do not change.

        Raises AudioError if there is no sound yet.
        """


class FrontEnd(Protocol):
    """A front end without state, safe to share between threads.

    ``whole(samples)`` and a stream that was fed the same samples give the same bits for every
    division into packets.
    """

    @property
    def sample_rate(self) -> int:
        """Sample rate of the input in Hz."""

    def whole(self, samples: Floats) -> Features:
        """Features of a whole utterance, samples [time]. Raises AudioError."""

    def stream(self, window_s: float | None = None) -> FrontEndStream:
        """A stream of one utterance; with ``window_s`` only the last ``window_s`` seconds count."""


def make_front_end(settings: FrontEndSettings) -> FrontEnd:
    """Return the front end for the settings of a manifest."""
    if isinstance(settings, MeanMfccSettings):
        return MeanMfccFrontEnd(settings)
    if isinstance(settings, LogMelSettings):
        return LogMel(settings)
    if isinstance(settings, KaldiFbankSettings):
        return KaldiFbank(settings)
    return Waveform(settings)
