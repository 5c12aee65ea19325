"""A sound file as a list of byte strings and ranges of a stream.

libsndfile trusts the sizes that are written in a file and stops at the first damage. It is
therefore given a file assembled from the intact parts of the original, with new headers. Only
headers are copied.
"""

import bisect
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

from emo_runtime.notes import Note


class Span(NamedTuple):
    """The bytes of a stream from ``start`` up to ``end``."""

    start: int
    end: int


Segment: TypeAlias = bytes | Span
_TAG_BYTES = 128


class Gap(NamedTuple):
    """Lost sound: ``length_s`` seconds are missing after ``at_s`` seconds of decoded sound."""

    at_s: float
    length_s: float


@dataclass(frozen=True)
class Part:
    """One recording in a file: the input of a decoder.

    ``kind`` is a format that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, AU), or the name of a
    demultiplexer of FFmpeg. ``notes`` are remarks on the structure of the file.

    For an MP3 file that does not state its length, ``samples`` is the number of samples in each
    channel, and ``claimed_bytes`` the size from which mpg123 estimates that number or a larger one.

    ``gaps`` are estimates of lost sound, ``length_s`` is the length that the file states, with the
    gaps; None: it states none.
    """

    kind: str
    segments: tuple[Segment, ...]
    notes: tuple[Note, ...] = ()
    samples: int | None = None
    claimed_bytes: int = 0
    gaps: tuple[Gap, ...] = ()
    length_s: float | None = None


def merge_spans(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """The same bytes in fewer segments: neighbouring spans become one."""
    merged: list[Segment] = []
    for segment in segments:
        last = merged[-1] if merged else None
        if isinstance(segment, Span) and isinstance(last, Span) and last.end == segment.start:
            merged[-1] = Span(last.start, segment.end)
        elif isinstance(segment, Span) or segment:
            merged.append(segment)
    return tuple(merged)


def open_part(stream: BinaryIO, part: Part) -> "SegmentStream":
    """The stream of a part for libsndfile.

    mpg123 estimates the length of an MP3 file that does not state it from its size and the bit rate
    of its first frame, and libsndfile reads no further: of a file with a variable bit rate the rest
    would be lost. It is therefore given a larger size.
    """
    return SegmentStream(stream, part.segments, part.claimed_bytes)


def cut_segments(segments: Iterable[Segment], start: int) -> tuple[Segment, ...]:
    """The segments without the first ``start`` bytes."""
    rest: list[Segment] = []
    for segment in segments:
        if isinstance(segment, Span):
            size = segment.end - segment.start
            rest += [Span(segment.start + start, segment.end)] if start < size else []
        else:
            size = len(segment)
            rest += [segment[start:]] if start < size else []
        start = max(0, start - size)
    return tuple(rest)


def cut_off_notes(found: int, promised: int) -> tuple[Note, ...]:
    """Return a note if fewer bytes of samples are present than the header states."""
    if found >= promised:
        return ()
    text = f"the sound file ends early: {found:,} of {promised:,} bytes of samples are present"
    return (Note("cut_off", text),)


def read_at(stream: BinaryIO, position: int, size: int) -> bytes:
    """Up to ``size`` bytes of a stream from ``position`` on."""
    stream.seek(position)
    return bytes(stream.read(size)[:size])


def windows(stream: BinaryIO, span: Span, size: int, overlap: int) -> Iterator[tuple[int, bytes]]:
    """Consecutive pieces of a span with their positions; each repeats the end of the last one."""
    position = span.start
    while True:
        data = read_at(stream, position, min(size, span.end - position))
        yield position, data
        position += len(data)
        if position >= span.end or len(data) <= overlap:
            return
        position -= overlap


class SegmentStream:
    """A read-only binary stream over segments, for callbacks that must not raise.

    An exception of the underlying stream is kept in ``error``; the reader sees the end of the file.
    The end of the file, as found by seeking, is at ``claimed_bytes`` or after the last byte. A tag
    that is looked for there is all zeros.
    """

    def __init__(
        self, stream: BinaryIO, segments: Iterable[Segment], claimed_bytes: int = 0
    ) -> None:
        self._stream = stream
        self._segments = tuple(segments)
        self._starts: list[int] = []
        size = 0
        for segment in self._segments:
            self._starts.append(size)
            size += segment.end - segment.start if isinstance(segment, Span) else len(segment)
        self._size = size
        self._end = max(size, claimed_bytes)
        self._position = 0
        self.error: Exception | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset``; never outside of the stream."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = min(max(origin + offset, 0), self._end)
        return self._position

    def tell(self) -> int:
        """The position in the assembled file."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size``; none after an error."""
        if self.error is not None:
            return b""
        if self._position > self._size and self._position >= self._end - _TAG_BYTES:
            return bytes(min(_TAG_BYTES if size < 0 else size, self._end - self._position))
        wanted = max(0, self._size - self._position)
        wanted = wanted if size < 0 else min(size, wanted)
        pieces = []
        index = bisect.bisect_right(self._starts, self._position) - 1
        try:
            while wanted > 0:
                piece = self._piece(index, wanted)
                if not piece:
                    break
                pieces.append(piece)
                self._position += len(piece)
                wanted -= len(piece)
                index += 1
        except Exception as error:  # noqa: BLE001  (no exception may reach the C code)
            self.error = error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, index: int, wanted: int) -> bytes:
        segment, offset = self._segments[index], self._position - self._starts[index]
        if not isinstance(segment, Span):
            return segment[offset : offset + wanted]
        position = segment.start + offset
        return read_at(self._stream, position, min(wanted, segment.end - position))
