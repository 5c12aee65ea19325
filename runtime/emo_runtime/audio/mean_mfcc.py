"""Front end ``mean_mfcc``: ``MeanMfcc`` with level normalization and a stream."""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.features import Features
from emo_runtime.audio.frame_front_end import FrameFrontEnd
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.front_ends import MeanMfccSettings

Floats = NDArray[np.float32]

_TINY = float(np.finfo(np.float32).tiny)


class MeanMfccFrontEnd(FrameFrontEnd):
    """Front end ``mean_mfcc``: features [1, n_mfcc] for any length of sound.

    Without level normalization the bits are ``MeanMfcc``'s. With it, the floor ``amin`` is applied
    after the gain. The mean over windows weighted by their lengths is the mean over the utterance:
    ``beyond_max="windows"`` changes nothing.
    """

    def __init__(self, settings: MeanMfccSettings) -> None:
        super().__init__(
            settings,
            frame_length=settings.n_fft,
            hop_length=settings.hop_length,
            bands=settings.n_mels,
            margin=settings.n_fft // 2,
        )
        self._settings = settings
        # With a level, the floor is applied after the gain: see ``assemble``.
        floor = settings.amin if settings.level is None else _TINY
        self._mfcc = MeanMfcc(msgspec.structs.replace(settings, amin=floor))
        self._lowest = np.float32(10 * math.log10(settings.amin))

    def log_frames(self, signal: Floats) -> Floats:
        """Mel power in dB, float32 [frames, n_mels]."""
        return self._mfcc.log_mel(signal)

    def assemble(self, frames: Floats, length: int, gain: float, *, truncated: bool) -> Features:
        """Features [1, n_mfcc]."""
        if self._settings.level is not None:
            frames = np.maximum(frames + np.float32(gain), self._lowest)
        vector = self._mfcc.mean(frames)[np.newaxis]
        steps = max(1, length // self.hop_length)
        return Features((vector,), (steps,), truncated)
