"""AIFF and AIFF-C files: find the format and the samples, ignore everything else.

As for WAV, the decoder is given a new file: libsndfile refuses files with other data at their end.
"""

import struct
from typing import BinaryIO

from emo_runtime.audio.segments import Part, Span, cut_off_notes, read_at
from emo_runtime.errors import AudioError

_MAX_CHUNKS = 10_000
_MAX_FORMAT_BYTES = 4096
_OPEN_ENDS = {0, 0xFFFFFFFF}  # written into a pipe: the samples reach to the end of the file


def read_aiff(stream: BinaryIO, name: str, span: Span) -> Part:
    """Return the samples of an AIFF file as a minimal AIFF file.

    Raises:
        AudioError: There is no format or no chunk of samples.
    """
    form = read_at(stream, span.start + 8, 4)
    chunks: dict[bytes, Span] = {}
    position = span.start + 12
    for _ in range(_MAX_CHUNKS):
        head = read_at(stream, position, 8)
        if len(head) < 8 or {b"COMM", b"SSND"} <= chunks.keys():
            break
        kind, length = head[:4], int.from_bytes(head[4:])
        if kind == b"SSND" and length in _OPEN_ENDS:
            length = span.end - position - 8
        chunks.setdefault(kind, Span(position + 8, position + 8 + length))
        position += 8 + length + length % 2
    if not {b"COMM", b"SSND"} <= chunks.keys():
        missing = "SSND" if b"COMM" in chunks else "COMM"
        raise AudioError(
            f"{name}: a damaged AIFF file: it has no usable {missing!r} chunk. Record or convert "
            "it again."
        )
    common, sound = chunks[b"COMM"], chunks[b"SSND"]
    promised = sound.end - sound.start
    sound = Span(sound.start, min(sound.end, span.end))
    body = read_at(stream, common.start, min(common.end - common.start, _MAX_FORMAT_BYTES))
    header = form + _chunk(b"COMM", body) + b"SSND" + struct.pack(">I", sound.end - sound.start)
    size = len(header) + sound.end - sound.start
    notes = cut_off_notes(sound.end - sound.start, promised)
    return Part("AIFF", (b"FORM" + struct.pack(">I", size) + header, sound), notes)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body)) + body + bytes(len(body) % 2)
