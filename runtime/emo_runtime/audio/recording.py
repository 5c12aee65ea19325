"""A long recording, read slice by slice: an hour of sound is never in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emo_runtime.audio.decode import (
    AudioSource,
    Sound,
    as_floats,
    open_sound,
    pair_of,
    time_by_channels,
    to_mono,
)
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note


class Recording:
    """Slices of one recording. Seeking moves the file's one position: not for several threads."""

    def __init__(self, frames: Any, sample_rate: int, channels: int, length: int) -> None:
        self._frames = frames
        self.sample_rate = sample_rate
        self.channels = channels
        self._length = length

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self._length / self.sample_rate

    def slice(self, start_s: float, end_s: float, channel: int | None = None) -> Sound:
        """Mono samples from ``start_s`` to ``end_s``, of one channel or of their mean.

        Raises AudioError where the recording has no such channel or ends before ``start_s``.
        """
        if channel is not None and not 0 <= channel < self.channels:
            raise AudioError(
                f"the recording has {self.channels} channels, there is no channel {channel} "
                "(counted from 0)."
            )
        start, end = round(start_s * self.sample_rate), round(end_s * self.sample_rate)
        end = min(end, self._length)
        if start >= end:
            raise AudioError(
                f"nothing to hear from {start_s:g} s to {end_s:g} s: the recording ends at "
                f"{self.duration_s:g} s."
            )
        frames = self._frames(start, end)
        notes: tuple[Note, ...] = ()
        if len(frames) < end - start:
            text = f"the recording ends early, {len(frames) / self.sample_rate:.2f} s are there"
            notes = (Note("cut_off", text),)
        mono = frames[:, channel] if channel is not None else to_mono(frames)
        return Sound(mono, self.sample_rate, notes)


@contextmanager
def open_recording(audio: AudioSource) -> Iterator[Recording]:
    """A recording for slicing: a path, bytes, a file object, or (samples, rate).

    Raises AudioError.
    """
    if isinstance(audio, tuple):
        samples, sample_rate = pair_of(audio)
        array = time_by_channels(samples)
        yield Recording(
            lambda start, end: as_floats(array[start:end]), sample_rate, array.shape[1], len(array)
        )
        return
    import soundfile  # noqa: PLC0415  (arrays do without it: start-up counts)

    with open_sound(audio) as opened:
        file = opened.file

        def read(start: int, end: int) -> Any:
            try:
                file.seek(start)
                return file.read(end - start, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise AudioError(
                    f"{opened.name}: can't be read from {start / file.samplerate:g} s on "
                    f"({error.error_string.rstrip('.')}): the file was cut off or damaged."
                ) from None

        yield Recording(read, file.samplerate, file.channels, file.frames)
