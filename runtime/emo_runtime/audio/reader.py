"""Open an encoded sound and read its samples from the start to the end."""

import contextlib
import inspect as inspection
import io
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio import ffmpeg
from emo_runtime.audio.arrays import check_channels, check_rate
from emo_runtime.audio.formats import Container, inspect
from emo_runtime.audio.segments import Part
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

Floats = NDArray[np.float32]

_MAX_NAME = 120
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BASE64 = re.compile(
    r"(data:[\w/+.;=-]*,[\w+/\r\n=-]*|[A-Za-z0-9+/\r\n]{200,}={0,2}|[\w-]{256,}={0,2})\s*", re.ASCII
)
_O_BINARY = getattr(os, "O_BINARY", 0)


class SoundReader:
    """The recordings of a sound file, one after the other, as blocks of samples.

    ``notes`` are complete once all blocks were read.
    """

    def __init__(self, stream: BinaryIO, name: str, container: Container) -> None:
        self.name = name
        self.container = container
        self.stream = stream
        self.notes: tuple[Note, ...] = ()
        with self._open(container.parts[0]) as decoder:
            self.sample_rate: int = decoder.sample_rate
            self.channels: int = decoder.channels
        check_rate(self.sample_rate, name)
        check_channels(self.channels, name)

    def blocks(self, *, fill_gaps: bool = False) -> Iterator[Floats]:
        """Samples in blocks [time, channels], each valid until the next one.

        ``fill_gaps`` puts silence in place of damage whose length is known.
        """
        notes = list(self.container.notes)
        for index, part in enumerate(self.container.parts):
            try:
                with self._open(part) as decoder:
                    if index and not self._fits(decoder):
                        text = (
                            f"another recording in the file ({decoder.channels} channels, "
                            f"{decoder.sample_rate} Hz) was not used"
                        )
                        notes.append(Note("trailing_data", text))
                        continue
                    yield from decoder.blocks(fill_gaps=fill_gaps)
                    notes += decoder.notes
            except _decoding_errors():
                if not index:
                    raise
                text = "another recording in the file can't be decoded and was not used"
                notes.append(Note("trailing_data", text))
        self.notes = tuple(dict.fromkeys(notes))

    def _fits(self, decoder: Any) -> bool:
        return (decoder.sample_rate, decoder.channels) == (self.sample_rate, self.channels)

    @contextlib.contextmanager
    def _open(self, part: Part) -> Iterator[Any]:
        if part.kind.startswith(ffmpeg.PREFIX):
            with ffmpeg.open_part(self.stream, part, self.name) as decoder:
                yield decoder
        else:
            from emo_runtime.audio.libsndfile import PartDecoder  # noqa: PLC0415  (start-up time)

            yield PartDecoder(self.stream, part)


@contextlib.contextmanager
def open_sound(source: Any) -> Iterator[SoundReader]:
    """Open a path, the bytes of a sound file, or a binary file object. Raises AudioError."""
    with _open_stream(source) as (stream, name):
        try:
            yield SoundReader(stream, name, inspect(stream, name))
        except _decoding_errors() as error:
            raise AudioError(
                f"{name}: not a supported sound file ({error.error_string.rstrip('.')}). WAV, "
                "FLAC, OGG, Opus and MP3 are supported; convert other formats first."
            ) from None
        except (OSError, ValueError) as error:
            raise AudioError(f"{name}: can't be read: {error!s:.300}.") from None


def _decoding_errors() -> Any:
    """Return the exception type of libsndfile; imported only if a sound file was opened."""
    import soundfile  # noqa: PLC0415  (not needed for arrays: start-up time)

    return soundfile.LibsndfileError


@contextlib.contextmanager
def _open_stream(source: Any) -> Iterator[tuple[BinaryIO, str]]:
    """Yield a seekable binary stream of an encoded sound, and its name for messages."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), "sound given as bytes"
    elif isinstance(source, (str, os.PathLike)):
        with _open_path(os.fspath(source)) as file:
            yield file, shorten(os.fspath(source))
    elif hasattr(source, "read") and hasattr(source, "seek"):
        if inspection.iscoroutinefunction(source.read):
            raise AudioError(
                f"audio of type {type(source).__name__} has an asynchronous read(): give "
                "`await upload.read()`."
            )
        yield source, "sound given as a file object"
    else:
        raise AudioError(
            f"audio of type {type(source).__name__}: give a path, bytes, a binary file object, or "
            "a pair (samples, sample_rate)."
        )


def _open_path(path: str | bytes) -> BinaryIO:
    name = shorten(path)
    if isinstance(path, str) and is_base64(path):
        raise AudioError(
            "audio given as a string looks like base64, not like a path: give "
            "base64.b64decode(audio)."
        )
    if isinstance(path, str) and _URL.match(path):
        raise AudioError("audio given as a URL: download it and give the bytes, or a path.")
    try:
        # O_NONBLOCK: opening a FIFO that has no writer would block forever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{name}: can't be opened: {reason}. Check the path.") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioError(f"{name}: not a regular file. Give the path of a sound file.")
    return open(descriptor, "rb")


def is_base64(path: str) -> bool:
    """True if a string is sound in base64, also with the alphabet for URLs, and not a path.

    No file name has 256 characters.
    """
    return _BASE64.fullmatch(path) is not None


def shorten(path: str | bytes) -> str:
    """Return a path for messages, at most 120 characters."""
    name = os.fsdecode(path)
    return name if len(name) <= _MAX_NAME else f"...{name[-_MAX_NAME + 3 :]}"
