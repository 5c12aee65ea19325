"""Sample arrays: conversion to float32 [time, channels], and checks of scale, rate and channels."""

import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.errors import AudioError

Floats = NDArray[np.float32]

MAX_CHANNELS = 32
MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 384_000
# The peak of speech in floats stays near 1; a larger one means samples that were not normalized.
MAX_PEAK = 100.0
_MAX_INT16 = 32_768
_UNKNOWN_SCALE = "Give float32 in [-1, 1], or integers of 16 or 32 bits, or unsigned ones of 8."


def pair_of(source: tuple[Any, ...] | list[Any]) -> tuple[NDArray[Any], int]:
    """Return samples and sample rate of a pair in either order. Raises AudioError."""
    if len(source) != 2:
        raise AudioError("audio given as a tuple must be a pair (samples, sample_rate).")
    samples, rate = source
    if _is_number(samples) and not _is_number(rate) and not isinstance(rate, str):
        samples, rate = rate, samples  # the order of scipy.io.wavfile.read
    if not _is_number(rate) or float(rate) % 1:
        given = repr(rate) if isinstance(rate, (str, numbers.Real)) else type(rate).__name__
        raise AudioError(f"sample_rate {given:.50} is not a whole number of Hz.")
    sample_rate = int(float(rate))
    check_rate(sample_rate, "the sound")
    return as_array(samples), sample_rate


def as_array(samples: Any) -> NDArray[Any]:
    """Return samples as a NumPy array. Raises AudioError, also for bytes: their type is unknown."""
    if isinstance(samples, (bytes, bytearray)) or _is_raw_memory(samples):
        raise AudioError(
            "samples given as bytes: their type is not known. Give "
            "np.frombuffer(data, '<i2') for 16-bit samples; a sound file needs no sample rate."
        )
    try:
        return np.asarray(samples)
    except Exception as error:  # noqa: BLE001  (other libraries' arrays raise anything)
        raise AudioError(f"samples that can't be converted to an array: {error!s:.200}.") from None


def time_by_channels(samples: NDArray[Any]) -> NDArray[Any]:
    """Return a view of [time], [time, channels] or [channels, time] as [time, channels].

    The shorter axis is taken as the channels. Raises AudioError.
    """
    if samples.ndim not in {1, 2}:
        raise AudioError(
            f"samples of shape {samples.shape}: give [time], [time, channels] or [channels, time]."
        )
    if samples.ndim == 1:
        return samples[:, np.newaxis]
    frames = samples.T if samples.shape[0] < samples.shape[1] else samples
    check_channels(frames.shape[1], f"samples of shape {samples.shape}")
    return frames


def as_floats(samples: NDArray[Any]) -> Floats:
    """Return samples as float32 at full scale 1. Raises AudioError if their scale is unknown."""
    kind, bits = samples.dtype.kind, samples.dtype.itemsize * 8
    if kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if kind == "i" and bits in {16, 32}:
        return samples.astype(np.float32) / np.float32(2 ** (bits - 1))
    if kind == "u" and bits == 8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    raise AudioError(
        f"samples of type {samples.dtype}: their full scale is not known. {_UNKNOWN_SCALE}"
    )


def check_scale(samples: NDArray[Any]) -> None:
    """Raise AudioError if 16-bit samples are stored in a type with another full scale."""
    if not samples.size:
        return
    if samples.dtype.kind == "i" and samples.dtype.itemsize == 4:
        peak = max(-int(samples.min()), int(samples.max()))
        if 0 < peak <= _MAX_INT16:
            raise AudioError(
                f"samples of type int32 with a peak of {peak}: this looks like 16-bit samples. "
                "Give samples.astype(np.int16)."
            )
    elif samples.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            loudest = float(np.abs(samples).max())
        # Normalized samples beyond full scale are not all whole numbers.
        if 2 < loudest <= MAX_PEAK and bool((samples == np.rint(samples)).all()):
            raise AudioError(
                f"the sound's peak is {loudest:.4g} and all samples are whole numbers, floats must "
                "be in about [-1, 1]. Divide 16-bit samples by 32768."
            )


def to_mono(frames: Floats) -> Floats:
    """Return the mean over the channels, [time] of [time, channels]; NaN and infinity are kept."""
    with np.errstate(over="ignore", invalid="ignore"):
        mono: Floats = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)
    return np.ascontiguousarray(mono)


def check_channels(channels: int, name: str) -> None:
    """Raise AudioError unless the number of channels is supported."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: {channels} channels; 1 to {MAX_CHANNELS} are supported. Select the speaker's "
            "channel first."
        )


def check_rate(sample_rate: int, name: str) -> None:
    """Raise AudioError unless the sample rate is supported."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"{name}: a sample rate of {sample_rate} Hz; {MIN_SAMPLE_RATE:,} to "
            f"{MAX_SAMPLE_RATE:,} Hz are supported. Check the header or the argument."
        )


def check_samples(samples: Floats) -> None:
    """Raise AudioError if there are no samples, or some are not finite or far too large."""
    check_not_empty(samples)
    check_finite(samples)
    peak = max(-float(samples.min()), float(samples.max()))
    if peak > MAX_PEAK:
        raise AudioError(
            f"the sound's peak is {peak:.4g}, floats must be in about [-1, 1]. "
            "Divide 16-bit samples by 32768."
        )


def check_not_empty(samples: Floats) -> None:
    """Raise AudioError if there are no samples."""
    if not len(samples):
        raise AudioError("the sound has no samples. Check how it was recorded or cut.")


def check_finite(samples: Floats) -> None:
    """Raise AudioError if samples are NaN or infinite."""
    if not np.isfinite(samples).all():
        raise AudioError("the sound has samples that are NaN or infinite. Check what produced it.")


def _is_number(value: Any) -> bool:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def _is_raw_memory(samples: Any) -> bool:
    return isinstance(samples, memoryview) and samples.format in {"B", "b", "c"}
