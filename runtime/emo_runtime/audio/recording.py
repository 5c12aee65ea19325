"""Read slices of a long recording without holding it in memory."""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import as_floats, check_scale, pair_of, time_by_channels
from emo_runtime.audio.channels import mix_whole
from emo_runtime.audio.decode import AudioSource, Sound
from emo_runtime.audio.flac import read_info
from emo_runtime.audio.reader import SoundReader, open_sound
from emo_runtime.audio.segments import SegmentStream, open_part
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]

_SEEKABLE = {"WAV", "AIFF", "AU", "FLAC", "MP3", "OGG"}
_MAX_SPOOL_BYTES = 1 << 32


class _Frames(Protocol):
    """Random access to the samples of a recording."""

    length: int
    notes: tuple[Note, ...]

    def read(self, start: int, end: int) -> Floats:
        """Samples [time, channels] from ``start`` up to ``end``."""
        ...


class Recording:
    """Slices of one recording. Not thread-safe: it has one file position."""

    def __init__(self, frames: _Frames, sample_rate: int, channels: int) -> None:
        self._frames = frames
        self.sample_rate = sample_rate
        self.channels = channels

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self._frames.length / self.sample_rate

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the whole recording."""
        return self._frames.notes

    def slice(self, start_s: float, end_s: float, channel: int | None = None) -> Sound:
        """Return mono samples from ``start_s`` to ``end_s``, of one channel or of their mean.

        Raises AudioError if the recording has no such channel or ends before ``start_s``.
        """
        if channel is not None and not 0 <= channel < self.channels:
            raise AudioError(
                f"the recording has {self.channels} channels, there is no channel {channel} "
                "(counted from 0)."
            )
        start, end = round(start_s * self.sample_rate), round(end_s * self.sample_rate)
        frames = np.empty((0, self.channels), np.float32)
        if start < min(end, self._frames.length):
            frames = self._frames.read(start, min(end, self._frames.length))
        if not len(frames):
            raise AudioError(
                f"no sound from {start_s:g} s to {end_s:g} s: the recording ends at "
                f"{self.duration_s:g} s."
            )
        if channel is not None:
            mono = np.ascontiguousarray(frames[:, channel])
            return Sound(mono, self.sample_rate, self.notes)
        mono, notes = mix_whole(frames)
        return Sound(mono, self.sample_rate, self.notes + notes)


@contextlib.contextmanager
def open_recording(audio: AudioSource) -> Iterator[Recording]:
    """Open a recording for slicing: a path, bytes, a file object, or (samples, rate).

    Raises AudioError.
    """
    if isinstance(audio, (tuple, list)):
        samples, sample_rate = pair_of(audio)
        array = time_by_channels(samples)
        check_scale(array)
        yield Recording(_ArrayFrames(array), sample_rate, array.shape[1])
        return
    with open_sound(audio) as reader, contextlib.closing(_FileFrames(reader)) as frames:
        yield Recording(frames, reader.sample_rate, reader.channels)


class _ArrayFrames:
    """The samples of an array."""

    notes: tuple[Note, ...] = ()

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.length = len(array)

    def read(self, start: int, end: int) -> Floats:
        """Samples [time, channels], at full scale 1."""
        return as_floats(self._array[start:end])


class _FileFrames:
    """The samples of a file: by seeking, or from a temporary file of all decoded samples.

    Damaged files, joined files and files of unknown length can't be seeked in. They are decoded
    once, from start to end, so that a slice equals the same part of the decoded whole.
    """

    def __init__(self, reader: SoundReader) -> None:
        self._reader = reader
        self._file: Any = None
        self._spool: IO[bytes] | None = None
        self.notes = reader.container.notes
        self.length = 0
        if self._can_seek():
            import soundfile  # noqa: PLC0415  (not needed for arrays: start-up time)

            [part] = reader.container.parts
            self._source = open_part(reader.stream, part)
            self._file = soundfile.SoundFile(self._source)
            self.length = self._file.frames if part.samples is None else part.samples
        else:
            self._spool = self._decode_all()

    def read(self, start: int, end: int) -> Floats:
        """Samples [time, channels]; fewer if the recording ends early."""
        if self._spool is None:
            import soundfile  # noqa: PLC0415  (see above)

            with contextlib.suppress(soundfile.LibsndfileError):
                self._file.seek(start)
                frames: Floats = self._file.read(end - start, dtype="float32", always_2d=True)
                if len(frames) == end - start:
                    return frames
            if self._source.error is not None:
                raise OSError(f"{self._source.error!s:.300}")
            self._spool = self._decode_all()
        frame_bytes = 4 * self._reader.channels
        self._spool.seek(start * frame_bytes)
        data = self._spool.read(max(0, min(end, self.length) - start) * frame_bytes)
        return np.frombuffer(data, np.float32).reshape(-1, self._reader.channels)

    def close(self) -> None:
        """Close the file, and delete the temporary file."""
        if self._file is not None:
            self._file.close()
        if self._spool is not None:
            self._spool.close()

    def _can_seek(self) -> bool:
        parts = self._reader.container.parts
        if len(parts) > 1 or parts[0].kind not in _SEEKABLE:
            return False
        if any(note.code == "damaged" for note in self.notes):
            return False
        if parts[0].kind != "FLAC":
            return True
        info = read_info(SegmentStream(self._reader.stream, parts[0].segments))
        return info is not None and info.samples > 0

    def _decode_all(self) -> IO[bytes]:
        spool = tempfile.TemporaryFile(prefix="emo-runtime-")  # noqa: SIM115
        size = 0
        for block in self._reader.blocks(fill_gaps=True):
            size += block.nbytes
            if size > _MAX_SPOOL_BYTES:
                raise AudioError(
                    f"{self._reader.name}: too long to be decoded to a temporary file. Convert it "
                    "to WAV."
                )
            spool.write(np.ascontiguousarray(block).data)
        self.length = size // (4 * self._reader.channels)
        self.notes = self._reader.notes
        return spool
