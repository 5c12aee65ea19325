"""Measure the level, the bandwidth and the clipping of an utterance, block by block.

A meter gives the same result however the samples are split into blocks.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emo_runtime.notes import Note

Floats = NDArray[np.float32]

MIN_DURATION_S = 0.3
QUIET_DBFS = -45.0
SILENT_DBFS = -60.0
# Speech has louder and softer frames; the frames of noise or of a tone have nearly one level.
STEADY_DB = 3.0
CLIPPED_SHARE = 0.005
# 6.2 of 8 kHz: sound that was recorded at 12 kHz is below, wide-band speech with weak highs is not.
NARROW_SHARE = 0.78
# If the bandwidth of the training sound is not known: that of sound at 16 kHz, which most corpora
# of speech have.
USUAL_BAND_HZ = 8000.0
_FULL_SCALE = 0.97
_FRAME_S = 0.032
_BLOCK_FRAMES = 64
_DENSE_FRAMES = 32  # the spectrum of all of them is taken, then of every eighth frame
_SPARSE = 8
_BANDS = 64
_BAND_FLOOR_DB = -60.0
_MIN_STEADY_FRAMES = 16


@dataclass(frozen=True)
class Quality:
    """Measurements of an utterance.

    ``level_dbfs`` is the RMS of the loudest half of the frames, ``spread_db`` the difference
    between loud and soft frames (95th and 10th percentile), ``bandwidth_hz`` the highest frequency
    within 60 dB of the loudest band.
    """

    duration_s: float
    level_dbfs: float
    spread_db: float
    clipped_share: float
    bandwidth_hz: float
    frames: int

    @property
    def is_silent(self) -> bool:
        """True if the level or its variation is too low for speech."""
        is_steady = self.frames >= _MIN_STEADY_FRAMES and self.spread_db < STEADY_DB
        return self.level_dbfs < SILENT_DBFS or is_steady

    def notes(self, trained_hz: float | None = None) -> tuple[Note, ...]:
        """Return notes, given the bandwidth of the training sound; None: unknown."""
        notes = []
        if self.duration_s < MIN_DURATION_S:
            text = f"the sound has only {self.duration_s:.2f} s"
            notes.append(Note("too_short", text))
        if self.is_silent:
            text = f"the sound has no speech: its level is {self.level_dbfs:.0f} dBFS"
            if self.level_dbfs >= SILENT_DBFS:
                text = "the sound has no speech: its level does not change (noise or a tone)"
            notes.append(Note("silent", text))
            return tuple(notes)
        if self.level_dbfs < QUIET_DBFS:
            text = f"the sound is very quiet: its level is {self.level_dbfs:.0f} dBFS"
            notes.append(Note("quiet", text))
        if self.clipped_share > CLIPPED_SHARE:
            text = f"the sound is clipped: {self.clipped_share:.1%} of its samples at full scale"
            notes.append(Note("clipped", text))
        if self.bandwidth_hz < NARROW_SHARE * (trained_hz or USUAL_BAND_HZ):
            model = "wider sound" if trained_hz is None else f"sound up to {trained_hz:.0f} Hz"
            text = (
                f"the sound has no energy above {self.bandwidth_hz:.0f} Hz, the model was trained "
                f"with {model}: rely more on the transcript"
            )
            notes.append(Note("narrow_band", text))
        return tuple(notes)


class _Block(NamedTuple):
    """Measurements of some frames: their powers, their bands, their samples at full scale."""

    powers: Floats
    bands: Floats
    clipped: int


class QualityMeter:
    """Accumulates what ``Quality`` needs from mono blocks of any lengths.

    With ``window_s`` only the last seconds are measured, with an accuracy of one block of frames,
    and only they are kept.
    """

    def __init__(self, sample_rate: int, window_s: float | None = None) -> None:
        self._rate = sample_rate
        self._length = 1 << round(math.log2(_FRAME_S * sample_rate))
        self._window = np.hanning(self._length).astype(np.float32)
        self._pending: list[Floats] = []
        self._pending_samples = 0
        self._window_frames: float = math.inf
        if window_s is not None:
            self._window_frames = window_s * sample_rate / self._length
        self._frames = 0  # measured so far
        self._kept = 0  # of these, in the blocks
        self._blocks: deque[_Block] = deque()

    def feed(self, samples: Floats) -> None:
        """Take mono samples. The array must not be changed afterwards."""
        self._pending.append(samples)
        self._pending_samples += len(samples)
        if self._pending_samples >= _BLOCK_FRAMES * self._length:
            self._measure_pending()

    def quality(self) -> Quality:
        """Return the measurements so far."""
        self._measure_pending()
        rest = self._pending[0] if self._pending else np.empty(0, np.float32)
        if self._blocks:
            powers = np.concatenate([block.powers for block in self._blocks])
            bands = np.max([block.bands for block in self._blocks], axis=0)
        else:  # shorter than one frame
            padded = np.zeros(self._length, np.float32)
            padded[: len(rest)] = rest
            powers = _frame_powers(padded[np.newaxis])
            bands = self._bands(padded[np.newaxis])
        samples = self._kept * self._length
        clipped = sum(block.clipped for block in self._blocks)
        return Quality(
            duration_s=(samples + len(rest)) / self._rate,
            level_dbfs=_decibels(float(np.sort(powers)[len(powers) // 2 :].mean())),
            spread_db=_spread(powers),
            clipped_share=clipped / max(1, samples),
            bandwidth_hz=self._bandwidth(bands),
            frames=self._kept,
        )

    def _measure_pending(self) -> None:
        if not self._pending:
            return
        samples = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        count = len(samples) // self._length
        frames = samples[: count * self._length].reshape(count, self._length)
        self._pending = [samples[count * self._length :]]
        self._pending_samples = len(self._pending[0])
        if not count:
            return
        clipped = 0
        if max(float(samples.max()), -float(samples.min())) >= _FULL_SCALE:
            clipped = int(np.count_nonzero(np.abs(frames) >= _FULL_SCALE))
        numbers = np.arange(self._frames, self._frames + count)
        chosen = frames[(numbers < _DENSE_FRAMES) | (numbers % _SPARSE == 0)]
        self._frames += count
        bands = self._bands(chosen) if len(chosen) else np.zeros(_BANDS, np.float32)
        self._blocks.append(_Block(_frame_powers(frames), bands, clipped))
        self._kept += count
        while self._kept - len(self._blocks[0].powers) >= self._window_frames:
            self._kept -= len(self._blocks.popleft().powers)

    def _bands(self, frames: Floats) -> Floats:
        """Return the largest mean power of each band in any of the frames."""
        spectrum = np.fft.rfft(frames * self._window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        edges = np.linspace(1, power.shape[1], _BANDS + 1).astype(int)
        bands: Floats = np.add.reduceat(power, edges[:-1], axis=1).max(axis=0) / np.diff(edges)
        return bands

    def _bandwidth(self, bands: Floats) -> float:
        """Return the upper edge of the highest band within 60 dB of the loudest."""
        loud = np.flatnonzero(bands > bands.max() * 10 ** (_BAND_FLOOR_DB / 10))
        return float((loud[-1] + 1) / _BANDS * self._rate / 2) if len(loud) else 0.0


def speech_notes(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Return a note if sound with a transcript has the note ``silent``."""
    if not any(note.code == "silent" for note in notes):
        return ()
    text = "there is a transcript but no speech in the sound: check that they belong together"
    return (Note("transcript_without_speech", text),)


def measure(samples: Floats, sample_rate: int) -> Quality:
    """Return the measurements of a complete sound [time]."""
    meter = QualityMeter(sample_rate)
    meter.feed(samples)
    return meter.quality()


def _frame_powers(frames: Floats) -> Floats:
    """Return the variance of each frame: its power without the mean."""
    squares = np.einsum("ij,ij->i", frames, frames) / np.float32(frames.shape[1])
    power: Floats = np.maximum(squares - frames.mean(axis=1) ** 2, np.float32(0))
    return power


def _decibels(power: float) -> float:
    return 10 * math.log10(max(power, 1e-20))


def _spread(powers: Floats) -> float:
    low, high = np.percentile(powers, (10, 95))
    return _decibels(float(high)) - _decibels(float(low))
