"""Front ends: mono samples to the array that the next graph reads."""

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
    """One utterance that arrives in packets. Belongs to one caller at a time."""

    def feed(self, samples: Floats) -> None:
        """Take samples [time] at the front end's rate. Raises AudioError where not finite."""

    def features(self) -> Features:
        """Features of the sound so far, as if it ended now; changes no later result.

        Raises AudioError where there is no sound yet.
        """


class FrontEnd(Protocol):
    """A front end without state, safe to share between threads.

    ``whole(samples)`` and a stream that was fed the same samples give the same bits, whatever the
    division into packets.
    """

    @property
    def sample_rate(self) -> int:
        """Rate in Hz of the samples that it takes."""

    @property
    def hop(self) -> int:
        """Samples for each time step of the features."""

    def whole(self, samples: Floats) -> Features:
        """Features of a whole utterance, samples [time]. Raises AudioError."""

    def stream(self, window_s: float | None = None) -> FrontEndStream:
        """A stream of one utterance; with ``window_s`` only its last so many seconds count."""


def make_front_end(settings: FrontEndSettings) -> FrontEnd:
    """The front end of a manifest's settings."""
    if isinstance(settings, MeanMfccSettings):
        return MeanMfccFrontEnd(settings)
    if isinstance(settings, LogMelSettings):
        return LogMel(settings)
    if isinstance(settings, KaldiFbankSettings):
        return KaldiFbank(settings)
    return Waveform(settings)
