"""MP3 files (ISO 11172-3, 13818-3): find the frames and skip all other data.

Files may have tags, junk or zeros before the first frame, gaps, and further recordings after the
first. mpg123, which libsndfile uses, stops at the first gap of 1,024 bytes, and at the number of
frames in the first recording's Xing header. It is given the frames of one recording at a time.
"""

import functools
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from emo_runtime.audio.segments import Gap, Part, Segment, Span, merge_spans, read_at
from emo_runtime.notes import Note

_BITRATES: dict[tuple[bool, int], tuple[int, ...]] = {  # kbit/s by (MPEG 1, layer)
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: tuple[int, int, int] = (44_100, 48_000, 32_000)
_SAME = 0xFFFE0C00  # sync, version, layer and sample rate
_MODE = 0x000000C0
_MONO = 0x000000C0
_HEADER = struct.Struct(">I")
_WINDOW_BYTES = 1 << 20
_MAX_JUNK_BYTES = 1 << 16
_MAX_FRAME_BYTES = 1441
_XING_FRAMES, _XING_BYTES = 1, 2
_TAGS = (b"Xing", b"Info")


@dataclass
class _Run:
    """One recording: its Xing or Info frame, its other frames, and flags for damage."""

    header: int
    tag: bytes = b""
    spans: list[Span] = field(default_factory=list)
    frames: int = 0
    is_damaged: bool = False
    is_cut_off: bool = False
    holes: list[tuple[int, int]] = field(default_factory=list)  # (frames before, bytes)


class _Window:
    """Random access to a stream, read in large pieces."""

    def __init__(self, stream: BinaryIO, span: Span) -> None:
        self._stream, self.end = stream, span.end
        self._base, self._data = span.start, b""

    def at(self, position: int, size: int) -> bytes:
        offset = position - self._base
        if offset < 0 or offset + size > len(self._data):
            self._base, offset = position, 0
            wanted = min(max(size, _WINDOW_BYTES), self.end - position)
            self._data = read_at(self._stream, position, wanted) if wanted > 0 else b""
        return self._data[offset : offset + size]

    def header(self, position: int) -> int:
        data = self.at(position, 4)
        return int.from_bytes(data) if len(data) == 4 else 0


def read_mp3(stream: BinaryIO, span: Span) -> tuple[Part, ...]:
    """Return the recordings of an MP3 file, in their order; none if there are no frames."""
    window = _Window(stream, span)
    if _is_free_format(window.header(span.start)):
        return (Part("MP3", (span,)),)
    runs = _runs(window, span)
    return tuple(_as_part(run) for run in runs if run.frames)


def is_mp3(stream: BinaryIO, span: Span) -> bool:
    """True if a span starts with a frame that another one, or the end, follows."""
    window = _Window(stream, span)
    return _is_free_format(window.header(span.start)) or _is_chain(window, span.start, 2)


def _runs(window: _Window, span: Span) -> list[_Run]:
    position = _find_frame(window, span.start, min(span.end, span.start + _MAX_JUNK_BYTES), 0)
    if position < 0:
        return []
    runs: list[_Run] = []
    run = _Run(window.header(position))
    while 0 <= position < span.end:
        header = window.header(position)
        size = frame_bytes(header >> 8) if _is_same(header, run.header) else 0
        if not size:
            run.is_damaged, position = _skip(window, position, run)
            if position >= 0 and not _is_same(window.header(position), run.header):
                runs.append(run)
                run = _Run(window.header(position))
            continue
        if position + size > span.end:
            run.is_cut_off = True
            break
        at = _tag_offset(header)
        if window.at(position + at, 4) in _TAGS:
            if run.frames:
                runs.append(run)
                run = _Run(header)
            run.tag = window.at(position, size)
        else:
            run.spans.append(Span(position, position + size))
            run.frames += 1
        position += size
    return [*runs, run]


def _skip(window: _Window, position: int, run: _Run) -> tuple[bool, int]:
    """Skip to the next frame: (True if the run is damaged, position of the frame or -1)."""
    end = _tag_end(window, position)
    if end > position:
        if end >= window.end:
            return run.is_damaged, -1
        if _is_chain(window, end, 2) or _tag_end(window, end) > end:
            return (
                (run.is_damaged, end)
                if frame_bytes(window.header(end) >> 8)
                else _skip(window, end, run)
            )
    found = _find_frame(window, position, window.end, run.header)
    is_hole = found >= 0 and run.frames > 0 and _is_same(window.header(found), run.header)
    if is_hole:
        run.holes.append((run.frames, found - position))
    return run.is_damaged or is_hole, found


def _find_frame(window: _Window, position: int, end: int, reference: int) -> int:
    """Return the position of the next frame before ``end`` that others follow; -1: none.

    Two consecutive frames are enough if they match ``reference``, else three are needed.
    """
    while position < end:
        data = window.at(position, min(_WINDOW_BYTES, end - position))
        if not data:
            break
        at = data.find(b"\xff")
        while at >= 0:
            header = (
                window.header(position + at)
                if at + 4 > len(data)
                else int.from_bytes(data[at : at + 4])
            )
            if frame_bytes(header >> 8):
                count = 2 if reference and _is_same(header, reference) else 3
                if _is_chain(window, position + at, count):
                    return position + at
            at = data.find(b"\xff", at + 1)
        position += len(data)
    return -1


def _is_chain(window: _Window, position: int, count: int) -> bool:
    """True if ``count`` frames of one kind follow each other, or fewer up to the end."""
    first = window.header(position)
    for index in range(count):
        header = window.header(position)
        size = frame_bytes(header >> 8)
        if not size or not _is_same(header, first):
            return index > 0 and _tag_end(window, position) > position
        position += size
        if position >= window.end - 4:
            return index > 0 or position == window.end
    return True


@functools.lru_cache(4096)
def frame_bytes(header: int) -> int:
    """Return the length of a frame from the first three bytes of its header; 0: not a header."""
    version, layer = header >> 11 & 3, 4 - (header >> 9 & 3)
    bitrate, rate = header >> 4 & 15, header >> 2 & 3
    if header >> 13 != 0x7FF or version == 1 or layer == 4 or rate == 3 or bitrate in {0, 15}:
        return 0
    is_mpeg1 = version == 3
    sample_rate: int = _RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    bits_per_second: int = _BITRATES[is_mpeg1, layer][bitrate - 1] * 1000
    padding: int = header >> 1 & 1
    slots = 144 if is_mpeg1 or layer == 2 else 72
    if layer == 1:
        return (12 * bits_per_second // sample_rate + padding) * 4
    return slots * bits_per_second // sample_rate + padding


def _sample_rate(header: int) -> int:
    """Return the sample rate of a frame in Hz."""
    return _RATES[header >> 10 & 3] >> {3: 0, 2: 1, 0: 2}[header >> 19 & 3]


def _frame_samples(header: int) -> int:
    """Return the number of samples of a frame."""
    layer, is_mpeg1 = 4 - (header >> 17 & 3), header >> 19 & 3 == 3
    return 384 if layer == 1 else 1152 if layer == 2 or is_mpeg1 else 576


def _is_same(header: int, other: int) -> bool:
    """True if two headers agree in version, layer, sample rate, and in being mono."""
    is_mono, other_is_mono = header & _MODE == _MONO, other & _MODE == _MONO
    return not (header ^ other) & _SAME and is_mono == other_is_mono


def _is_free_format(header: int) -> bool:
    valid = header >> 21 == 0x7FF and header >> 19 & 3 != 1 and header >> 17 & 3 != 0
    return valid and not header >> 12 & 15 and header >> 10 & 3 != 3


def _tag_offset(header: int) -> int:
    """Return the offset of the Xing or Info tag in the first frame of a recording."""
    is_mpeg1, is_mono = header >> 19 & 3 == 3, header & _MODE == _MONO
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    crc_bytes = 0 if header & 0x10000 else 2
    return 4 + crc_bytes + side_bytes[is_mpeg1, is_mono]


def _tag_end(window: _Window, position: int) -> int:
    """Return the end of the tag (ID3, APE, Lyrics3) at a position; the position if none."""
    head = window.at(position, 32)
    if head[:3] == b"ID3" and len(head) >= 10:
        return min(position + id3_bytes(head), window.end)
    if head[:3] == b"TAG":
        return min(position + 128, window.end)
    if head[:8] == b"APETAGEX" and len(head) == 32:
        size, flags = struct.unpack("<I4xI", head[12:24])
        header_bytes = 32 if flags & 0x20000000 else 0
        return min(position + int(size) + header_bytes, window.end)
    if head[:11] == b"LYRICSBEGIN":
        data = window.at(position, _MAX_JUNK_BYTES)
        ends = [data.find(word) for word in (b"LYRICS200", b"LYRICSEND")]
        return position + max(ends) + 9 if max(ends) > 0 else position
    return position


def id3_bytes(head: bytes) -> int:
    """Return the length of an ID3v2 tag from its first ten bytes."""
    length = 0
    for seven_bits in head[6:10]:
        length = length << 7 | seven_bits & 0x7F
    return 10 + length + (10 if head[5] & 0x10 else 0)


def _as_part(run: _Run) -> Part:
    segments: list[Segment] = list(run.spans)
    is_cut_off = run.is_cut_off
    at = _tag_offset(run.header)
    tag = bytearray(run.tag)
    flags = _HEADER.unpack_from(tag, at + 4)[0] if len(tag) >= at + 16 else 0
    promised = 0
    if flags & _XING_FRAMES:
        [promised] = _HEADER.unpack_from(tag, at + 8)
        is_cut_off = is_cut_off or promised > run.frames
        if promised != run.frames:
            _HEADER.pack_into(tag, at + 8, run.frames)
        if promised != run.frames and flags & _XING_BYTES:
            total = len(tag) + sum(span.end - span.start for span in run.spans)
            _HEADER.pack_into(tag, at + 12, total)
        segments.insert(0, bytes(tag))
        samples, claimed = None, 0
    else:
        samples = run.frames * _frame_samples(run.header)
        claimed = (run.frames + 4) * max(frame_bytes(run.header >> 8), _MAX_FRAME_BYTES)
    notes: tuple[Note, ...] = ()
    if run.is_damaged:
        notes = (Note("damaged", "parts of the MP3 file are damaged; the intact frames were used"),)
    elif is_cut_off:
        notes = (Note("cut_off", f"the sound file ends early, after {run.frames:,} MP3 frames"),)
    gaps = _gaps(run, promised) if run.is_damaged else ()
    return Part("MP3", merge_spans(segments), notes, samples, claimed, gaps)


def _gaps(run: _Run, promised: int) -> tuple[Gap, ...]:
    """Return the gaps of a damaged recording.

    Their frames are estimated from their bytes. The number of frames that the file states counts
    more: bytes may have been removed.
    """
    sizes = [size for _, size in run.holes]
    mean_bytes = sum(span.end - span.start for span in run.spans) / run.frames
    lost = sum(round(size / mean_bytes) for size in sizes)
    if promised > run.frames and not run.is_cut_off:
        lost = promised - run.frames
    frame_s = _frame_samples(run.header) / _sample_rate(run.header)
    return tuple(
        Gap(before * frame_s, lost * size / sum(sizes) * frame_s) for before, size in run.holes
    )
