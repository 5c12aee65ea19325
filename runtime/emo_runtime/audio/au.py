"""AU files (Sun, NeXT): the samples end where the header says."""

from emo_runtime.audio.segments import Part, Span, cut_off_notes

_HEADER_BYTES = 24
_UNKNOWN_LENGTH = 0xFFFFFFFF


def read_au(head: bytes, span: Span) -> Part:
    """Return the samples of an AU file that starts with ``head``."""
    offset, length = int.from_bytes(head[4:8]), int.from_bytes(head[8:12])
    start = span.start + offset
    if length == _UNKNOWN_LENGTH or offset < _HEADER_BYTES or start >= span.end:
        return Part("AU", (span,))
    end = min(span.end, start + length)
    return Part("AU", (Span(span.start, end),), cut_off_notes(end - start, length))
