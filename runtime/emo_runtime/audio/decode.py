"""Sound from wherever it comes, as mono float32 at the bundle's rate (as ``librosa.load`` does)."""

import contextlib
import io
import math
import numbers
import os
import stat
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.formats import Container, GuardedStream, inspect
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]
AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | tuple[NDArray[Any], int]

MAX_DURATION_S = 600.0
MAX_CHANNELS = 32
MIN_SAMPLE_RATE = 4_000
MAX_SAMPLE_RATE = 384_000
# Speech in floats stays near [-1, 1]; a peak beyond this is 16-bit samples never divided by 32768.
MAX_PEAK = 100.0
_BLOCK_FRAMES = 1 << 16
_FLAC_FRAMES = 4096  # about one of its own: no more than that is lost where the file ends
_O_BINARY = getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono samples, float32 [time], and their rate in Hz; ``notes`` tell what was unusual."""

    samples: Floats
    sample_rate: int
    notes: tuple[Note, ...] = field(default=())

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class OpenSound:
    """An open ``soundfile.SoundFile``, its name for messages, and its container."""

    file: Any
    name: str
    container: Container


def load_audio(
    source: AudioSource, sample_rate: int = 22_050, max_duration_s: float = MAX_DURATION_S
) -> Floats:
    """Mono float32 samples [time] of ``source`` at ``sample_rate``.

    Equals ``librosa.load(path, sr=sample_rate)[0]``. ``source`` is a path, the bytes of a sound
    file, a binary file object, or ``(samples, sample_rate)``. Raises AudioError.
    """
    return resample(decode(source, max_duration_s), sample_rate)


def decode(source: AudioSource, max_duration_s: float = MAX_DURATION_S) -> Sound:
    """Mono samples of ``source`` at its own rate. Raises AudioError.

    Arrays are [time], [time, channels] or [channels, time] (the shorter axis is the channels),
    floats in about [-1, 1] or integers of 8 (unsigned), 16 or 32 bits.
    """
    if isinstance(source, tuple):
        samples, sample_rate = pair_of(source)
        sound = Sound(to_mono(as_floats(time_by_channels(samples))), sample_rate)
    else:
        with open_sound(source) as opened:
            sound = _read(opened, max_duration_s)
    if sound.duration_s > max_duration_s:
        raise _too_long("the sound", max_duration_s)
    check_samples(sound.samples)
    return sound


def resample(sound: Sound, sample_rate: int) -> Floats:
    """Samples of ``sound`` at ``sample_rate``: soxr's HQ, then ceil(time * ratio) samples.

    ``librosa.resample(y, orig_sr=, target_sr=, res_type="soxr_hq")``.
    """
    if sound.sample_rate == sample_rate:
        return sound.samples
    import soxr  # noqa: PLC0415  (only where rates differ: start-up counts)

    length = math.ceil(len(sound.samples) * (sample_rate / sound.sample_rate))
    converted: Floats = soxr.resample(sound.samples, sound.sample_rate, sample_rate, quality="HQ")
    if len(converted) < length:
        converted = np.pad(converted, (0, length - len(converted)))
    return converted[:length]


def silent_wav(seconds: float, sample_rate: int = 8000) -> bytes:
    """A WAV file of digital silence: what a warm-up listens to."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(bytes(2 * int(seconds * sample_rate)))
    return stream.getvalue()


@contextlib.contextmanager
def open_sound(source: AudioSource) -> Iterator[OpenSound]:
    """A sound file, opened once its container was looked at. Raises AudioError."""
    import soundfile  # noqa: PLC0415  (arrays do without it: start-up counts)

    with _open_stream(source) as (stream, name):
        guarded = None
        try:
            container = inspect(stream, name)
            guarded = GuardedStream(stream, container.start)
            with soundfile.SoundFile(guarded) as file:
                check_rate(file.samplerate, name)
                _check_channels(file.channels, name)
                yield OpenSound(file, name, container)
                if guarded.error is not None:
                    raise guarded.error
        except soundfile.LibsndfileError as error:
            if guarded is not None and guarded.error is not None:
                raise AudioError(f"{name}: can't be read: {guarded.error}.") from None
            raise AudioError(
                f"{name}: not a sound that can be read ({error.error_string.rstrip('.')}). WAV, "
                "FLAC, OGG, Opus and MP3 can; convert others first."
            ) from None
        except (OSError, ValueError) as error:
            raise AudioError(f"{name}: can't be read: {error}.") from None


def pair_of(source: tuple[Any, ...]) -> tuple[NDArray[Any], int]:
    """The samples and the rate of sound given as a pair. Raises AudioError."""
    if len(source) != 2:
        raise AudioError("audio given as a tuple must be a pair (samples, sample_rate).")
    samples, rate = source
    if isinstance(rate, bool) or not isinstance(rate, numbers.Real) or float(rate) % 1:
        raise AudioError(f"sample_rate {rate!r} is no whole number of Hz.")
    sample_rate = int(float(rate))
    check_rate(sample_rate, "the sound")
    try:
        return np.asarray(samples), sample_rate
    except ValueError as error:
        raise AudioError(f"samples that make no array: {error}.") from None


def time_by_channels(samples: NDArray[Any]) -> NDArray[Any]:
    """A view of [time], [time, channels] or [channels, time] as [time, channels].

    The shorter axis is the channels. Raises AudioError.
    """
    if samples.ndim not in {1, 2}:
        raise AudioError(
            f"samples of shape {samples.shape}: give [time], [time, channels] or [channels, time]."
        )
    if samples.ndim == 1:
        return samples[:, np.newaxis]
    frames = samples.T if samples.shape[0] < samples.shape[1] else samples
    _check_channels(frames.shape[1], f"samples of shape {samples.shape}")
    return frames


def as_floats(samples: NDArray[Any]) -> Floats:
    """Samples of any shape as float32 at full scale 1. Raises AudioError on unknown scales."""
    kind, bits = samples.dtype.kind, samples.dtype.itemsize * 8
    if kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if kind == "i" and bits in {16, 32}:
        return samples.astype(np.float32) / np.float32(2 ** (bits - 1))
    if kind == "u" and bits == 8:
        return (samples.astype(np.float32) - 128) / np.float32(128)
    raise AudioError(
        f"samples of type {samples.dtype}: their full scale is not known. Give float32 in [-1, 1], "
        "or integers of 16 or 32 bits, or unsigned ones of 8."
    )


def to_mono(frames: Floats) -> Floats:
    """[time] of [time, channels]: the mean over the channels, which may not be finite either."""
    with np.errstate(over="ignore", invalid="ignore"):
        mono: Floats = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1)
    return np.ascontiguousarray(mono)


@contextlib.contextmanager
def _open_stream(source: Any) -> Iterator[tuple[BinaryIO, str]]:
    """A seekable binary stream of an encoded sound, and its name for messages."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), "sound given as bytes"
    elif isinstance(source, (str, os.PathLike)):
        with _open_regular(Path(source)) as file:
            yield file, str(source)
    elif hasattr(source, "read") and hasattr(source, "seek"):
        yield source, "sound given as a file object"
    else:
        raise AudioError(
            f"audio of type {type(source).__name__}: give a path, bytes, a binary file object, or "
            "a pair (samples, sample_rate)."
        )


def _open_regular(path: Path) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{path}: can't be opened: {reason}. Check the path.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioError(f"{path}: not a regular file. Give the path of a sound file.")
    return open(descriptor, "rb")


def _read(opened: OpenSound, max_duration_s: float) -> Sound:
    rate = opened.file.samplerate
    data = bytearray()  # grows in its place: blocks to be joined would be in memory twice
    for block in _mono_blocks(opened, max_duration_s):
        data += block.data
    samples = np.frombuffer(data, np.float32)
    notes = opened.container.notes or _ends_early(opened.file, len(samples))
    return Sound(samples, rate, notes)


def _mono_blocks(opened: OpenSound, max_duration_s: float) -> Iterator[Floats]:
    """Blocks of mono samples: memory follows what is really there, not what a header claims.

    Where the decoder gives up in the middle, what came before counts: a call that was cut off
    deserves an answer, with a note.
    """
    import soundfile  # noqa: PLC0415  (see open_sound)

    limit = int(max_duration_s * opened.file.samplerate)
    frames = _FLAC_FRAMES if opened.container.kind == "FLAC" else _BLOCK_FRAMES
    total = 0
    while True:
        try:
            block = opened.file.read(frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            if not total:
                raise
            return
        if not len(block):
            return
        total += len(block)
        if total > limit:
            raise _too_long(opened.name, max_duration_s)
        yield to_mono(block)


def _ends_early(file: Any, frames: int) -> tuple[Note, ...]:
    with contextlib.suppress(TypeError, ValueError):
        if 0 < frames < int(file.frames) < 1 << 62:
            text = f"the sound file ends early: {frames:,} of {file.frames:,} samples are there"
            return (Note("cut_off", text),)
    return ()


def _too_long(name: str, max_duration_s: float) -> AudioError:
    return AudioError(
        f"{name}: longer than {max_duration_s:g} s, the limit for one utterance. Cut the recording "
        "into utterances, or raise max_duration_s."
    )


def _check_channels(channels: int, name: str) -> None:
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: {channels} channels, 1 to {MAX_CHANNELS} can be mixed. Select the speaker's "
            "channel first."
        )


def check_rate(sample_rate: int, name: str) -> None:
    """Raise AudioError unless a rate is one that speech is recorded at."""
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise AudioError(
            f"{name}: a sample rate of {sample_rate} Hz; {MIN_SAMPLE_RATE:,} to "
            f"{MAX_SAMPLE_RATE:,} Hz can be used. Check the header or the argument."
        )


def check_samples(samples: Floats) -> None:
    """Raise AudioError where there are no samples, or some are not finite or far too large."""
    if not len(samples):
        raise AudioError("the sound has no samples. Check how it was recorded or cut.")
    low, high = float(samples.min()), float(samples.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise AudioError("the sound has samples that are NaN or infinite. Check what produced it.")
    if max(-low, high) > MAX_PEAK:
        raise AudioError(
            f"the sound's peak is {max(-low, high):.4g}, floats must lie in about [-1, 1]. "
            "Divide 16-bit samples by 32768."
        )
