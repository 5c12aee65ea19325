"""WAV files (RIFF, RIFX, RF64): find the format and the samples, ignore everything else.

The decoder is given a new header and the bytes of the ``data`` chunk, so that it never reads other
chunks. libsndfile trusts the sizes in ``LIST`` chunks: a file of 157 bytes makes it loop forever
(libsndfile issue 1118).
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from emo_runtime.audio.segments import Part, Span, read_at
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

MAGICS = {b"RIFF", b"RIFX", b"RF64"}
UNKNOWN_TAG = "format tag"
MPEG_TAGS = {0x0050, 0x0055}
# What libsndfile decodes: PCM, MS ADPCM, float, A-law, mu-law, IMA ADPCM, GSM 6.10, NMS ADPCM.
_DECODED_TAGS = {0x0001, 0x0002, 0x0003, 0x0006, 0x0007, 0x0011, 0x0031, 0x0038}
_EXTENSIBLE = 0xFFFE
_TAG_NAMES = {
    0x0014: "G.723",
    0x0020: "Yamaha ADPCM",
    0x0040: "G.721",
    0x0042: "G.723.1",
    0x0045: "G.726",
    0x0064: "G.726",
    0x0065: "G.722",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0140: "G.726",
    0x028F: "G.722",
    0x0160: "WMA",
    0x0161: "WMA",
    0x1600: "AAC",
    0x1602: "AAC",
    0x2000: "AC-3",
    0x704F: "Opus",
    0x706D: "AAC",
    0xA109: "Speex",
    0xA106: "AAC",
    0xF1AC: "FLAC",
}
_MAX_CHUNKS = 10_000
_MAX_TRAILING_CHUNKS = 100
_MAX_FORMAT_BYTES = 4096
_MIN_UNUSED_BYTES = 4096
_SEARCH_BYTES = 1 << 20
# Writers into a pipe do not know the length: 0xFFFFFFFF, 0x80000000, 0x7FFFF000 and similar values
# mean "to the end of the file".
_OPEN_END = 0x7FFF0000
_KNOWN_CHUNKS = {
    *(b"fmt ", b"data", b"LIST", b"fact", b"bext", b"cue ", b"smpl", b"inst", b"PEAK", b"JUNK"),
    *(b"junk", b"PAD ", b"FLLR", b"id3 ", b"ID3 ", b"iXML", b"axml", b"cart", b"DISP", b"acid"),
    *(b"ds64", b"afsp", b"chna", b"levl", b"mext", b"note", b"plst", b"RIFF", b"wavl", b"slnt"),
}


class UnsupportedWavError(Exception):
    """A WAV file in an encoding that libsndfile does not decode; the argument is its name."""


def read_wav(stream: BinaryIO, name: str, span: Span) -> Part:
    """Return the samples of a WAV file as a minimal WAV file, or as MP3 if they are MP3 frames.

    Raises:
        AudioError: There is no format or no data chunk.
        UnsupportedWavError: libsndfile has no decoder for the encoding.
    """
    magic = read_at(stream, span.start, 4)
    order = ">" if magic == b"RIFX" else "<"
    form = fact = b""
    long_size: int | None = None
    for kind, position, length in _chunks(stream, Span(span.start + 12, span.end), order):
        if kind == b"fmt ":
            form = read_at(stream, position, min(length, _MAX_FORMAT_BYTES))
        elif kind == b"fact":
            fact = read_at(stream, position, 4)
        elif kind == b"ds64":
            sizes = read_at(stream, position, 16)
            long_size = struct.unpack("<8xQ", sizes)[0] if len(sizes) == 16 else None
        elif kind == b"data" and len(form) >= 16:
            is_long = magic == b"RF64" and length == 0xFFFFFFFF and long_size
            size = long_size if is_long and long_size else length
            data, notes = _data_span(stream, span, position, size, order)
            tag = _format_tag(form, order)
            if tag in MPEG_TAGS:
                return Part("MP3", (data,), notes)
            if tag not in _DECODED_TAGS:
                raise UnsupportedWavError(_TAG_NAMES.get(tag, f"{UNKNOWN_TAG} 0x{tag:04X}"))
            return Part("WAV", (_header(order, form, fact, data), data), notes)
    missing = "data" if len(form) >= 16 else "fmt"
    raise AudioError(
        f"{name}: a damaged WAV file: it has no usable {missing!r} chunk. Record or convert it "
        "again."
    )


def _chunks(stream: BinaryIO, span: Span, order: str) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a RIFF file as (identifier, position of the body, length as written).

    An odd chunk without a padding byte is accepted. After a chunk with an impossible length, the
    next ``fmt `` or ``data`` chunk is searched for.
    """
    header = struct.Struct(f"{order}4sI")
    position = span.start
    for _ in range(_MAX_CHUNKS):
        head = read_at(stream, position, 8)
        if len(head) < 8:
            return
        kind, length = header.unpack(head)
        end = position + 8 + length
        if kind != b"data" and (end > span.end or not _is_plausible(kind)):
            position = _next_known(stream, Span(position, span.end))
            if position < 0:
                return
            continue
        yield kind, position + 8, length
        position = end
        if length % 2 and not _starts_chunk(stream, end, unpadded=True):
            position += 1


def _is_plausible(kind: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in kind)


def _starts_chunk(stream: BinaryIO, position: int, *, unpadded: bool) -> bool:
    """True if a known chunk starts at ``position`` (and none after a padding byte)."""
    head = read_at(stream, position, 5)
    if unpadded and head[1:5] in _KNOWN_CHUNKS:
        return False
    return head[:4] in _KNOWN_CHUNKS


def _next_known(stream: BinaryIO, span: Span) -> int:
    """The position of the next ``fmt `` or ``data`` chunk; -1 if there is none."""
    data = read_at(stream, span.start, min(_SEARCH_BYTES, span.end - span.start))
    # The damaged chunk itself is skipped; its identifier may be one of the two.
    found = [at for at in (data.find(b"data", 1), data.find(b"fmt ", 1)) if at >= 0]
    return span.start + min(found) if found else -1


def _data_span(
    stream: BinaryIO, span: Span, position: int, length: int, order: str
) -> tuple[Span, tuple[Note, ...]]:
    """The bytes of the samples, and notes about their end."""
    left = span.end - position
    if length == 0 and left and not _are_chunks(stream, Span(position, span.end), order):
        length = left
    if length <= left:
        data = Span(position, position + length)
        return data, _trailing_notes(stream, data, span.end, order)
    # Some writers count their own header as samples, or as a part of it.
    headers = {8, 36, 44, 46, 58, position - span.start, position - span.start - 8}
    is_header_counted = length - left in headers
    if length >= _OPEN_END or is_header_counted:
        return Span(position, span.end), ()
    text = f"the sound file ends early: {left:,} of {length:,} bytes of samples are present"
    return Span(position, span.end), (Note("cut_off", text),)


def _are_chunks(stream: BinaryIO, span: Span, order: str) -> bool:
    """True if a span consists of whole chunks with known identifiers."""
    header = struct.Struct(f"{order}4sI")
    position = span.start
    while position < span.end:
        head = read_at(stream, position, 8)
        if len(head) < 8 or head[:4] not in _KNOWN_CHUNKS:
            return False
        length = header.unpack(head)[1]
        position += 8 + length + length % 2
    return position - span.end in {0, 1}


def _trailing_notes(stream: BinaryIO, data: Span, end: int, order: str) -> tuple[Note, ...]:
    """A note if other samples follow: a second ``data`` chunk, or a second file."""
    header = struct.Struct(f"{order}4sI")
    position = data.end
    for _ in range(_MAX_TRAILING_CHUNKS):
        if (data.end - data.start) % 2 and position == data.end:
            position += not _starts_chunk(stream, position, unpadded=True)
        head = read_at(stream, position, 12)
        if head[:4] in MAGICS and head[8:] == b"WAVE":
            text = "a second recording follows in the file; only the first was used"
            return (Note("trailing_data", text),)
        if len(head) < 8 or head[:4] not in _KNOWN_CHUNKS:
            return _unused_notes(stream, Span(position, end), head)
        kind, length = header.unpack(head[:8])
        if kind == b"data" and length:
            text = "the file has several chunks of samples; only the first was used"
            return (Note("trailing_data", text),)
        position += 8 + length + length % 2
    return ()


def _unused_notes(stream: BinaryIO, rest: Span, head: bytes) -> tuple[Note, ...]:
    """A note if many bytes follow that are neither chunks, a tag nor zeros."""
    size = rest.end - rest.start
    is_tag = head[:3] in {b"ID3", b"TAG", b"APE"}
    if (
        size < _MIN_UNUSED_BYTES
        or is_tag
        or not any(read_at(stream, rest.start, _MIN_UNUSED_BYTES))
    ):
        return ()
    text = f"{size:,} bytes after the samples were not used: the length in the header may be wrong"
    return (Note("trailing_data", text),)


def _format_tag(form: bytes, order: str) -> int:
    [tag] = struct.unpack(f"{order}H", form[:2])
    if tag == _EXTENSIBLE and len(form) >= 26:
        [tag] = struct.unpack(f"{order}H", form[24:26])
    return int(tag)


def _header(order: str, form: bytes, fact: bytes, data: Span) -> bytes:
    """A WAV header up to the first byte of the samples."""
    length = data.end - data.start
    chunks = _chunk(order, b"fmt ", form)
    chunks += _chunk(order, b"fact", fact) if len(fact) == 4 else b""
    total = 4 + len(chunks) + 8 + length
    if total < _OPEN_END:
        magic = b"RIFX" if order == ">" else b"RIFF"
        head = magic + struct.pack(f"{order}I", total) + b"WAVE" + chunks
        return head + b"data" + struct.pack(f"{order}I", length)
    sizes = struct.pack("<QQQI", total + 36, length, 0, 0)
    head = b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + _chunk("<", b"ds64", sizes)
    return head + chunks + b"data" + struct.pack("<I", 0xFFFFFFFF)


def _chunk(order: str, kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(f"{order}I", len(body)) + body + bytes(len(body) % 2)
