"""Augmentation of speech: copies of an utterance as other microphones, rooms and lines record it.

All functions take and return mono float32 samples. A function that draws random numbers takes a
``numpy.random.Generator``: the same generator state gives the same copy.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Sequence

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FRAME_S = 0.025
_DECAY_60_DB = 3 * np.log(10)  # exponent after which an amplitude has fallen by 60 dB
_EQUALIZER_HZ = (0, 150, 400, 1000, 2000, 3500, 5500, 8000)


def gain(samples: Floats, gain_db: float) -> Floats:
    """Return the samples at another level, clipped at full scale as a recorder clips them."""
    scaled = samples * np.float32(10 ** (gain_db / 20))
    clipped: Floats = np.clip(scaled, np.float32(-1), np.float32(1))
    return clipped


def low_pass(samples: Floats, rate: int, cutoff_hz: float) -> Floats:
    """Attenuate what lies above ``cutoff_hz`` by at least 60 dB; linear phase, no delay.

    The transition band of 400 Hz ends at ``cutoff_hz``.
    """
    return _filtered(samples, low_pass_filter(rate, cutoff_hz))


def low_pass_filter(rate: int, cutoff_hz: float, transition_hz: float = 400.0) -> Floats:
    """Return a windowed-sinc filter with an odd number of coefficients (Kaiser window, 65 dB)."""
    length = int(np.ceil((65 - 7.95) / (2.285 * 2 * np.pi * transition_hz / rate))) // 2 * 2 + 1
    centre = 2 * (cutoff_hz - transition_hz / 2) / rate
    taps = centre * np.sinc(centre * (np.arange(length) - length // 2))
    taps *= np.kaiser(length, 0.1102 * (65 - 8.7))
    normalized: Floats = (taps / taps.sum()).astype(np.float32)
    return normalized


def mu_law(samples: Floats, rate: int) -> Floats:
    """Return the samples after G.711 mu-law at 8 kHz."""
    return _coded(samples, rate, 8000, "WAV", "ULAW")


def gsm(samples: Floats, rate: int) -> Floats:
    """Return the samples after GSM 06.10 full rate at 8 kHz."""
    return _coded(samples, rate, 8000, "WAV", "GSM610")


def opus(samples: Floats, rate: int, bitrate: int = 12_000) -> Floats:
    """Return the samples after Opus at 16 kHz and ``bitrate`` bits per second."""
    # libsndfile maps compression levels 0 to 1 to 256 kbit/s down to 6 kbit/s for a channel.
    compression = 1 - (bitrate - 6000) / 250_000
    return _coded(samples, rate, 16_000, "OGG", "OPUS", compression_level=compression)


def opus_available() -> bool:
    """True if libsndfile encodes Opus and soundfile can set its bit rate (soundfile 0.13)."""
    parameters = inspect.signature(soundfile.write).parameters
    return "OPUS" in soundfile.available_subtypes("OGG") and "compression_level" in parameters


def speed(samples: Floats, factor: float) -> Floats:
    """Return the samples played ``factor`` times as fast: tempo and pitch change together."""
    faster: Floats = soxr.resample(samples, factor, 1.0, quality="HQ")
    return faster.astype(np.float32)


def cut(
    samples: Floats, rate: int, duration_s: float, rng: np.random.Generator | None = None
) -> Floats:
    """Keep the first ``duration_s``, or a random part of that length if a generator is given."""
    length = max(1, round(duration_s * rate))
    if len(samples) <= length:
        return samples
    start = 0 if rng is None else int(rng.integers(len(samples) - length + 1))
    return samples[start : start + length]


def active_rms(samples: Floats, rate: int, range_db: float = 30.0) -> float:
    """Return the root mean square over the 25 ms frames within ``range_db`` of the loudest.

    Silence between words has no influence on it. 0 for silence.
    """
    length = max(1, round(_FRAME_S * rate))
    count = len(samples) // length
    frames = samples[: count * length].reshape(count, length) if count else samples[np.newaxis]
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    active = power[power >= power.max() * 10 ** (-range_db / 10)]
    return float(np.sqrt(active.mean()))


def add_noise(samples: Floats, rate: int, noise: Floats, snr_db: float) -> Floats:
    """Add noise of the same length at a signal-to-noise ratio over the active frames."""
    speech, level = active_rms(samples, rate), float(np.sqrt(np.mean(noise.astype(float) ** 2)))
    if speech == 0 or level == 0:
        return samples
    return samples + noise * np.float32(speech / level * 10 ** (-snr_db / 20))


def coloured_noise(length: int, rate: int, exponent: float, rng: np.random.Generator) -> Floats:
    """Return noise whose power falls with frequency to the power of ``exponent``, flat below 20 Hz.

    0 is white noise, 1 pink, 2 brown.
    """
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.maximum(np.fft.rfftfreq(length, 1 / rate), 20.0)
    return np.fft.irfft(spectrum * frequency ** (-exponent / 2), length).astype(np.float32)


def babble(voices: Sequence[Floats], length: int, rate: int, rng: np.random.Generator) -> Floats:
    """Return the sum of several voices played backwards, each at the same level."""
    total = np.zeros(length, np.float32)
    for voice in voices:
        if level := active_rms(voice, rate):
            repeated = np.resize(voice[::-1], length) / np.float32(level)
            total += np.roll(repeated, int(rng.integers(length)))
    return total


def room_response(
    rate: int, rt60_s: float, direct_to_reverberant_db: float, rng: np.random.Generator
) -> Floats:
    """Return a synthetic impulse response: the direct path and exponentially decaying noise.

    The noise falls by 60 dB in ``rt60_s``, begins 1 to 15 ms after the direct path, and has less
    treble than it, as sound that walls reflect.
    """
    length = max(2, round(rt60_s * rate))
    noise = rng.standard_normal(length) * np.exp(-_DECAY_60_DB * np.arange(length) / length)
    tail = low_pass(noise.astype(np.float32), rate, rng.uniform(0.3, 0.95) * rate / 2)
    tail[: min(length - 1, max(1, int(rng.uniform(0.001, 0.015) * rate)))] = 0
    energy = float(np.sum(tail.astype(np.float64) ** 2))
    response = tail * np.float32(10 ** (-direct_to_reverberant_db / 20) / np.sqrt(energy))
    response[0] = 1
    return response


def reverberate(samples: Floats, response: Floats) -> Floats:
    """Convolve with an impulse response; what follows the end of the samples is dropped."""
    return _convolved(samples, response)[: len(samples)]


def equalize(
    samples: Floats, rate: int, rng: np.random.Generator, range_db: float = 16.0
) -> Floats:
    """Filter with a random smooth frequency response, as another microphone does.

    Gains of -range_db / 2 to range_db / 2 are drawn at eight frequencies and interpolated in dB.
    """
    gains_db = rng.uniform(-range_db / 2, range_db / 2, len(_EQUALIZER_HZ))
    length = 257
    grid = np.fft.rfftfreq(2 * length - 1, 1 / rate)
    response = np.fft.irfft(10 ** (np.interp(grid, _EQUALIZER_HZ, gains_db) / 20), 2 * length - 1)
    taps = np.roll(response, length // 2)[:length] * np.hanning(length + 2)[1:-1]
    return _filtered(samples, taps.astype(np.float32))


def random_recording(
    samples: Floats, rate: int, voices: Sequence[Floats], rng: np.random.Generator
) -> Floats:
    """Return the utterance as a random recording.

    Steps, each drawn or left out: cut, speed, room, microphone, noise, level, then a codec or band.

    Args:
        samples: utterance.
        rate: sample rate of ``samples`` and ``voices``.
        voices: utterances of others, for babble; may be empty.
        rng: generator.
    """
    if rng.random() < 0.4:
        samples = cut(samples, rate, rng.uniform(1.5, 2.5), rng)
    if rng.random() < 0.5:
        samples = speed(samples, rng.uniform(0.9, 1.1))
    if rng.random() < 0.5:
        response = room_response(rate, rng.uniform(0.15, 0.8), rng.uniform(-3, 12), rng)
        samples = reverberate(samples, response)
    if rng.random() < 0.7:
        samples = equalize(samples, rate, rng)
    if rng.random() < 0.7:
        noise = _random_noise(len(samples), rate, voices, rng)
        samples = add_noise(samples, rate, noise, rng.uniform(5, 40))
    if rng.random() < 0.2:
        peak = max(float(np.abs(samples).max()), 1e-9)
        samples = gain(samples, rng.uniform(-30, 6) - 20 * np.log10(peak))
    return _random_channel(samples, rate, rng)


def _random_channel(samples: Floats, rate: int, rng: np.random.Generator) -> Floats:
    cutoff_hz = float(rng.uniform(3400, 7500))
    channels: list[Callable[[Floats], Floats]] = [
        lambda sound: mu_law(sound, rate),
        lambda sound: gsm(sound, rate),
        lambda sound: opus(sound, rate) if opus_available() else low_pass(sound, rate, 7500),
        lambda sound: low_pass(sound, rate, cutoff_hz),
        lambda sound: sound,
        lambda sound: sound,
    ]
    return channels[int(rng.integers(len(channels)))](samples)


def _random_noise(
    length: int, rate: int, voices: Sequence[Floats], rng: np.random.Generator
) -> Floats:
    if len(voices) and rng.random() < 0.3:
        return babble(voices, length, rate, rng)
    return coloured_noise(length, rate, rng.uniform(0, 2), rng)


def _coded(
    samples: Floats, rate: int, codec_rate: int, container: str, subtype: str, **options: float
) -> Floats:
    """Encode and decode with libsndfile; a peak of 0.5 in between, which no codec clips."""
    peak = max(float(np.abs(samples).max()), 1e-9)
    narrow = soxr.resample(samples * np.float32(0.5 / peak), rate, codec_rate, quality="HQ")
    file = io.BytesIO()
    soundfile.write(file, narrow, codec_rate, format=container, subtype=subtype, **options)
    file.seek(0)
    decoded, decoded_rate = soundfile.read(file, dtype="float32")
    wide = soxr.resample(decoded, decoded_rate, rate, quality="HQ")[: len(samples)]
    result = np.zeros(len(samples), np.float32)
    result[: len(wide)] = wide * np.float32(peak / 0.5)
    return result


def _filtered(samples: Floats, taps: Floats) -> Floats:
    """Convolve with a symmetric filter of odd length, without its delay."""
    start = len(taps) // 2
    return _convolved(samples, taps)[start : start + len(samples)]


def _convolved(samples: Floats, response: Floats) -> Floats:
    length = len(samples) + len(response) - 1
    size = 1 << (length - 1).bit_length()
    product = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[:length].astype(np.float32)
