"""Decode files, bytes and arrays to mono float32, and resample them.

For intact files the result equals ``librosa.load``.
"""

import io
import math
import os
import wave
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import (
    as_floats,
    check_samples,
    check_scale,
    pair_of,
    time_by_channels,
)
from emo_runtime.audio.channels import ChannelMixer, mix_whole
from emo_runtime.audio.reader import SoundReader, open_sound
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]
AudioSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | tuple[NDArray[Any], int]

MAX_DURATION_S = 600.0


@dataclass(frozen=True, eq=False)
class Sound:
    """Mono samples, float32 [time], and their rate in Hz; ``notes`` are remarks on the source."""

    samples: Floats
    sample_rate: int
    notes: tuple[Note, ...] = field(default=())

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


def load_audio(
    source: AudioSource, sample_rate: int = 22_050, max_duration_s: float = MAX_DURATION_S
) -> Floats:
    """Return mono float32 samples [time] of ``source`` at ``sample_rate``.

    Equals ``librosa.load(path, sr=sample_rate)[0]``. ``source`` is a path, the bytes of a sound
    file, a binary file object, or ``(samples, sample_rate)``. Raises AudioError.
    """
    return resample(decode(source, max_duration_s), sample_rate)


def decode(source: AudioSource, max_duration_s: float = MAX_DURATION_S) -> Sound:
    """Return mono samples of ``source`` at its own rate.

    Channels are averaged. If they cancel each other, the loudest one is used, with a note.
    Arrays are [time], [time, channels] or [channels, time] (the shorter axis is the channels),
    floats in about [-1, 1] or integers of 8 (unsigned), 16 or 32 bits. Raises AudioError.
    """
    if isinstance(source, (tuple, list)):
        samples, sample_rate = pair_of(source)
        frames = time_by_channels(samples)
        if len(frames) > max_duration_s * sample_rate:
            raise _too_long("the sound", max_duration_s)
        check_scale(samples)
        mono, notes = mix_whole(as_floats(frames))
        sound = Sound(mono, sample_rate, notes)
    else:
        with open_sound(source) as reader:
            sound = _read(reader, max_duration_s)
    check_samples(sound.samples)
    return sound


def resample(sound: Sound, sample_rate: int) -> Floats:
    """Return the samples at ``sample_rate``, resampled by soxr HQ to ceil(time * ratio) samples.

    Equals ``librosa.resample(y, orig_sr=, target_sr=, res_type="soxr_hq")``.
    """
    if sound.sample_rate == sample_rate:
        return sound.samples
    import soxr  # noqa: PLC0415  (only if rates differ: start-up time)

    length = math.ceil(len(sound.samples) * (sample_rate / sound.sample_rate))
    converted: Floats = soxr.resample(sound.samples, sound.sample_rate, sample_rate, quality="HQ")
    if len(converted) < length:
        converted = np.pad(converted, (0, length - len(converted)))
    return converted[:length]


def silent_wav(seconds: float, sample_rate: int = 8000) -> bytes:
    """Return a WAV file of digital silence, for warm-up."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(bytes(2 * int(seconds * sample_rate)))
    return stream.getvalue()


def _read(reader: SoundReader, max_duration_s: float) -> Sound:
    limit = max_duration_s * reader.sample_rate  # may be infinite
    mixer = ChannelMixer(reader.channels)
    data = bytearray()  # grows in place: joining a list of blocks would need twice the memory
    for block in reader.blocks():
        data += mixer.mix(block).data
        if len(data) // 4 > limit:
            raise _too_long(reader.name, max_duration_s)
    if (channel := mixer.cancelled_by) is not None:
        data.clear()
        for block in reader.blocks():
            data += np.ascontiguousarray(block[:, channel]).data
    return Sound(np.frombuffer(data, np.float32), reader.sample_rate, reader.notes + mixer.notes)


def _too_long(name: str, max_duration_s: float) -> AudioError:
    return AudioError(
        f"{name}: longer than {max_duration_s:g} s, the limit for one utterance. Cut the recording "
        "into utterances, or raise max_duration_s."
    )
