"""FLAC files (RFC 9639): find the recordings, and the next intact frame after damage.

libFLAC stops at the first damaged frame. Every frame has a header with a checksum and its position
in the recording, so that decoding can continue with the next intact frame.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from emo_runtime.audio.segments import (
    Part,
    SegmentStream,
    Span,
    cut_segments,
    windows,
)

_MAX_BLOCKS = 1024
_MAX_HEADER_BYTES = 16
_WINDOW_BYTES = 1 << 20
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_FILE_START = re.compile(rb"fLaC[\0\x80]\0\0\x22")
_OTHER_START = re.compile(rb"RIFF.{4}WAVEfmt |OggS\0\x02", re.DOTALL)


class FlacInfo(NamedTuple):
    """STREAMINFO. ``samples`` is 0 if the encoder did not know the length."""

    max_block: int
    channels: int
    samples: int
    header_bytes: int


class Frame(NamedTuple):
    """A frame header: its position in the file, and the number of its first sample."""

    position: int
    first_sample: int


def read_flac(stream: BinaryIO, span: Span) -> tuple[Part, ...]:
    """Return the recordings of a native FLAC file: several if files were joined."""
    starts, end = [span.start], span.end
    for position, data in windows(stream, span, _WINDOW_BYTES, overlap=15):
        starts += [position + found.start() for found in _FILE_START.finditer(data)]
        if other := _OTHER_START.search(data):
            end = min(end, position + other.start())
    starts = sorted({start for start in starts if start < end})
    ends = [*starts[1:], end]
    return tuple(Part("FLAC", (Span(start, end),)) for start, end in zip(starts, ends, strict=True))


def read_info(stream: SegmentStream) -> FlacInfo | None:
    """Return the stream information of a FLAC file; None if the header is incomplete."""
    stream.seek(0)
    head = stream.read(42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F:
        return None
    position = 4
    for _ in range(_MAX_BLOCKS):
        stream.seek(position)
        block = stream.read(4)
        if len(block) < 4:
            return None
        position += 4 + int.from_bytes(block[1:])
        if block[0] & 0x80:
            break
    packed = int.from_bytes(head[18:26])
    return FlacInfo(
        max_block=int.from_bytes(head[10:12]),
        channels=(packed >> 41 & 7) + 1,
        samples=packed & (1 << 36) - 1,
        header_bytes=position,
    )


def next_frame(stream: SegmentStream, info: FlacInfo, last: Frame, done: int) -> Frame | None:
    """Return the frame to resume at if decoding failed ``done`` samples after ``last``."""
    for frame in _frames(stream, info, last.position + 1):
        is_new = frame.first_sample >= last.first_sample + done
        if is_new and (not info.samples or frame.first_sample < info.samples):
            return frame
    return None


def resume_at(stream: SegmentStream, part: Part, frame: Frame) -> Part:
    """Return the recording from a frame on, as a FLAC file without length and checksum."""
    stream.seek(0)
    head = bytearray(stream.read(42))
    head[4] = 0x80  # STREAMINFO is the last metadata block
    head[21] &= 0xF0
    head[22:42] = bytes(20)
    return Part("FLAC", (bytes(head), *cut_segments(part.segments, frame.position)))


def _frames(stream: SegmentStream, info: FlacInfo, start: int) -> Iterator[Frame]:
    """Yield the frame headers with a correct checksum from the position ``start`` on."""
    position = start
    while True:
        stream.seek(position)
        data = stream.read(_WINDOW_BYTES)
        if len(data) < _MAX_HEADER_BYTES:
            return
        for found in _SYNC.finditer(data, 0, len(data) - _MAX_HEADER_BYTES + 2):
            head = data[found.start() : found.start() + _MAX_HEADER_BYTES]
            first_sample = _first_sample(head, info)
            if first_sample is not None:
                yield Frame(position + found.start(), first_sample)
        position += len(data) - _MAX_HEADER_BYTES + 1


def _first_sample(head: bytes, info: FlacInfo) -> int | None:
    """Return the number of the first sample of a frame; None if this is not a frame header."""
    block_code, rate_code = head[2] >> 4, head[2] & 15
    channel_code, bits_code = head[3] >> 4, head[3] >> 1 & 7
    channels = channel_code + 1 if channel_code < 8 else 2
    if not block_code or rate_code == 15 or channel_code > 10 or bits_code == 3 or head[3] & 1:
        return None
    number, position = _coded_number(head, 4)
    if position < 0 or channels != info.channels:
        return None
    position += {6: 1, 7: 2}.get(block_code, 0) + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if position >= len(head) or _crc8(head[:position]) != head[position]:
        return None
    if head[1] & 1:  # frames of different lengths: the number counts samples
        return number
    return number * info.max_block


def _coded_number(head: bytes, position: int) -> tuple[int, int]:
    """Return a number coded as in UTF-8, and the position after it; -1 if it is malformed."""
    first = head[position]
    if first < 0x80:
        return first, position + 1
    length = next((n for n in range(2, 8) if not first & 0x80 >> n), 0)
    if length < 2 or not first & 0x40:
        return 0, -1
    value = first & (0x7F >> length)
    for byte in head[position + 1 : position + length]:
        if byte & 0xC0 != 0x80:
            return 0, -1
        value = value << 6 | byte & 0x3F
    return value, position + length


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (0x07 if crc & 0x80 else 0)
    return crc
