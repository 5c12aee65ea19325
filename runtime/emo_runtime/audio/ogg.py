"""Ogg files (RFC 3533): find the recordings and their intact pages.

A file may hold several recordings one after the other (a chain), pages of other streams, damaged
pages, or no end-of-stream bit. Each recording is passed to the decoder as a stream of its intact
pages, whose last page has the end-of-stream bit: libsndfile refuses streams without it.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from emo_runtime.audio.segments import Gap, Part, Segment, Span, merge_spans, read_at
from emo_runtime.notes import Note

_HEADER = struct.Struct("<4sBBqIIIB")  # magic, version, flags, granule, serial, number, CRC, count
_FIRST_PAGE, _LAST_PAGE = 0x02, 0x04
_MAX_PAGE_BYTES = 27 + 255 + 255 * 255
_WINDOW_BYTES = 1 << 20
_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
# The first bytes of the first packet of a stream.
_CODECS = {
    b"OpusHead": "Opus",
    b"\x01vorbis": "Vorbis",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "Speex",
    b"\x80theora": "Theora",
    b"fishead\0": "Skeleton",
    b"CELT    ": "CELT",
    b"PCM     ": "OggPCM",
}
NO_START = "no first page"  # in place of a codec
_FLAC_MAPPING_BYTES = 9  # in front of the "fLaC" of the native format


_HEAD_BYTES = 32
_NO_PACKET_ENDS = -1  # the position of a page on which no packet ends
_OPUS_RATE = 48_000
_MAX_PAGE_S = 6  # 255 segments; encoders write pages of about one second


class UnsupportedOggError(Exception):
    """An Ogg file without a stream that libsndfile decodes.

    ``part`` has the intact pages, for another decoder.
    """

    def __init__(self, codec: str, part: Part) -> None:
        super().__init__(codec)
        self.part = part


class _Page(NamedTuple):
    span: Span
    header_bytes: int
    flags: int
    granule: int
    serial: int
    number: int
    codec: str | None
    head: bytes


@dataclass
class _Scan:
    """Damage found while reading the pages."""

    is_damaged: bool = False
    is_cut_off: bool = False


def read_ogg(stream: BinaryIO, span: Span) -> tuple[Part, ...]:
    """Return the recordings of an Ogg file, in their order.

    FLAC in Ogg becomes native FLAC. Raises UnsupportedOggError if no stream can be decoded.
    """
    scan = _Scan()
    parts: list[Part] = []
    others: list[tuple[str, list[_Page]]] = []
    for pages in _links(_pages(stream, span, scan)):
        serial, codec = _choose_stream(pages)
        chosen = [page for page in pages if page.serial == serial]
        if _has_gap(chosen):
            scan.is_damaged = True
        if codec in {"Opus", "Vorbis", "FLAC"}:
            parts.append(_as_part(stream, chosen, codec))
        else:
            others.append((codec, pages))
    notes = _notes(scan, [codec for codec, _ in others] if parts else [])
    if not parts:
        spans = merge_spans(page.span for _, pages in others for page in pages)
        raise UnsupportedOggError(
            others[0][0] if others else "damaged", Part("OGG", spans, tuple(notes))
        )
    return (*parts[:-1], replace(parts[-1], notes=tuple(notes)))


def _notes(scan: _Scan, codecs: list[str]) -> list[Note]:
    notes = []
    if scan.is_damaged:
        notes.append(Note("damaged", "pages of the sound file are damaged or missing"))
    if scan.is_cut_off:
        notes.append(Note("cut_off", "the sound file ends early: its last page is not complete"))
    if codecs:
        text = f"the file has another recording ({codecs[0]}), which was not used"
        notes.append(Note("trailing_data", text))
    return notes


def _pages(stream: BinaryIO, span: Span, scan: _Scan) -> Iterator[_Page]:
    """Yield the intact pages of a file, and record damage between them in ``scan``."""
    base, data = span.start, b""
    position = span.start
    while position < span.end:
        is_last_window = base + len(data) >= span.end
        if position + _MAX_PAGE_BYTES > base + len(data) and not (data and is_last_window):
            base = position
            data = read_at(stream, base, min(_WINDOW_BYTES, span.end - base))
            is_last_window = base + len(data) >= span.end
            if not data:
                return
        at = position - base
        size = _page_size(data, at)
        if size:
            yield _page(data, at, size, position)
            position += size
            continue
        found = data.find(b"OggS", at + 1)
        if found < 0 and is_last_window:
            rest = data[at:]
            scan.is_cut_off = b"OggS".startswith(rest[:4])
            return
        scan.is_damaged = True
        position = base + (found if found >= 0 else len(data) - 3)


def _page_size(data: bytes, at: int) -> int | None:
    """Return the size of the page at ``at``; None if there is no intact page."""
    if data[at : at + 4] != b"OggS" or len(data) < at + 27:
        return None
    count = data[at + 26]
    sizes = data[at + 27 : at + 27 + count]
    size = 27 + count + sum(sizes)
    if len(sizes) < count or at + size > len(data):
        return None
    [written] = struct.unpack_from("<I", data, at + 22)
    page = data[at : at + 22] + bytes(4) + data[at + 26 : at + size]
    return size if page_crc(page) == written else None


def _page(data: bytes, at: int, size: int, position: int) -> _Page:
    _, _, flags, granule, serial, number, _, count = _HEADER.unpack_from(data, at)
    codec, head = None, b""
    if flags & _FIRST_PAGE:
        head = data[at + 27 + count : at + 27 + count + _HEAD_BYTES]
        codec = next((name for magic, name in _CODECS.items() if head.startswith(magic)), "")
    span = Span(position, position + size)
    return _Page(span, 27 + count, flags, granule, serial, number, codec, head)


def _links(pages: Iterator[_Page]) -> Iterator[list[_Page]]:
    """Yield the pages of each link of a chain: first pages, then others."""
    link: list[_Page] = []
    for page in pages:
        if page.flags & _FIRST_PAGE and link and not link[-1].flags & _FIRST_PAGE:
            yield link
            link = []
        link.append(page)
    if link:
        yield link


def _choose_stream(pages: list[_Page]) -> tuple[int, str]:
    """Return the serial number and the codec of the stream to decode."""
    streams = [(page.serial, page.codec) for page in pages if page.codec is not None]
    for wanted in ("Opus", "Vorbis", "FLAC", "Speex"):
        for serial, codec in streams:
            if codec == wanted:
                return serial, codec
    if not streams:
        return -1, NO_START
    return streams[0][0], streams[0][1] or "unknown codec"


def _has_gap(pages: list[_Page]) -> bool:
    """True if pages are missing; the first audio page may have any number (joined streams)."""
    numbers = [page.number for page in pages[1:]]
    return any(after != before + 1 for before, after in itertools.pairwise(numbers))


def _as_part(stream: BinaryIO, pages: list[_Page], codec: str) -> Part:
    gaps, length_s = _gaps(pages, codec)
    if codec == "FLAC":
        bodies = [Span(page.span.start + page.header_bytes, page.span.end) for page in pages]
        first = Span(bodies[0].start + _FLAC_MAPPING_BYTES, bodies[0].end)
        return Part("FLAC", merge_spans([first, *bodies[1:]]), gaps=gaps, length_s=length_s)
    last = pages[-1]
    segments: list[Segment] = [page.span for page in pages]
    if not last.flags & _LAST_PAGE:
        page = bytearray(read_at(stream, last.span.start, last.span.end - last.span.start))
        page[5] |= _LAST_PAGE
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", page_crc(bytes(page)))
        segments[-1] = bytes(page)
    return Part("OGG", merge_spans(segments), gaps=gaps, length_s=length_s)


def _rate(head: bytes, codec: str) -> tuple[int, int]:
    """Return the positions of a stream per second, and the position at which its sound starts."""
    if codec == "Opus":
        return _OPUS_RATE, int.from_bytes(head[10:12], "little")
    if codec == "FLAC":
        return int.from_bytes(head[27:30]) >> 4, 0
    return int.from_bytes(head[12:16], "little"), 0


def _gaps(pages: list[_Page], codec: str) -> tuple[tuple[Gap, ...], float | None]:
    """Return the gaps between pages, and the length of the stream with them.

    A page states the position of its last sample. The length of the page after a gap is not known
    here: it is taken as that of the missing ones.
    """
    rate, skipped = _rate(pages[0].head, codec)
    if not rate:
        return (), None
    gaps: list[Gap] = []
    start, is_cut = skipped, False  # in a recording of a running stream, positions start above 0
    lost, position, number, missing, present = 0.0, 0, pages[0].number, 0, 0
    for page in pages[1:]:
        missing += max(0, page.number - number - 1)
        number, present = page.number, present + 1
        if page.granule == _NO_PACKET_ENDS:
            continue
        if not position and not missing and page.granule > _MAX_PAGE_S * rate:
            start, is_cut = page.granule, True
        elif missing and page.granule > position:
            length = (page.granule - position) * missing / (missing + present)
            gaps.append(Gap(max(0.0, position - start - lost) / rate, length / rate))
            lost += length
        position, missing, present = page.granule, 0, 0
    return tuple(gaps), None if is_cut else max(0, position - start) / rate


def page_crc(page: bytes) -> int:
    """Return Ogg's CRC-32 of a page whose checksum field is zero, computed with zlib.

    Both have the polynomial 0x04C11DB7. zlib works on reflected bits, and starts and ends with an
    inversion.
    """
    crc = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
