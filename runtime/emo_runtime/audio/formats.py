"""What libsndfile is given to read: the few formats that are taken, through a stream that is safe.

libsndfile knows some thirty formats, most of them of the last century, and trusts what stands in
them. Only those that speech comes in reach it, told by their first bytes.
"""

import io
from dataclasses import dataclass
from typing import BinaryIO

from emo_runtime.audio.wav import check_wav
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

_ID3_BYTES = 10
_MAX_ID3_TAGS = 8
_OGG_PAGE_BYTES = 65_307
_LAST_PAGE = 0x04
_KNOWN = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "OGG",
    b"FORM": "AIFF",
    b".snd": "AU",
}

# Families of formats that the next word tells apart.
_FORMS = {"WAV": {b"WAVE"}, "AIFF": {b"AIFF", b"AIFC"}}


@dataclass(frozen=True)
class Container:
    """The format of an encoded sound, where it starts (behind ID3 tags), and what is odd in it."""

    kind: str
    start: int
    notes: tuple[Note, ...] = ()


class GuardedStream:
    """A binary stream from ``start`` on, for callbacks that no exception may leave.

    What the stream raises is kept in ``error``; for its reader it then has ended.
    """

    def __init__(self, stream: BinaryIO, start: int) -> None:
        self._stream = stream
        self._start = start
        self._size = stream.seek(0, io.SEEK_END) - start
        self._position = 0
        self.error: Exception | None = None

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset``; never out of the stream."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = min(max(origin + offset, 0), self._size)
        return self._position

    def tell(self) -> int:
        """The position, counted from ``start``."""
        return self._position

    def read(self, size: int) -> bytes:
        """The next bytes, at most ``size``; none after an error."""
        if self.error is not None:
            return b""
        try:
            self._stream.seek(self._start + self._position)
            data = bytes(self._stream.read(size)[:size])
        except Exception as error:  # noqa: BLE001  (whatever it is, it must not reach C)
            self.error = error
            return b""
        self._position += len(data)
        return data


def inspect(stream: BinaryIO, name: str) -> Container:
    """The container of an encoded sound. Raises AudioError where it is none that is taken."""
    size = stream.seek(0, io.SEEK_END)
    if not size:
        raise AudioError(f"{name}: is empty (0 bytes). Check how it was recorded or copied.")
    start = _behind_tags(stream, size)
    stream.seek(start)
    head = stream.read(12)
    if not isinstance(head, bytes):
        raise AudioError(f"{name}: opened as text. Open it with mode 'rb'.")
    kind = _KNOWN.get(head[:4])
    if kind in _FORMS and head[8:] not in _FORMS[kind]:
        kind = None
    if kind is None and len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        kind = "MP3"
    if kind is None:
        raise AudioError(
            f"{name}: not a sound that can be read (its first bytes are of no known format). WAV, "
            "FLAC, OGG, Opus and MP3 can; convert others first."
        )
    notes: tuple[Note, ...] = ()
    if kind == "WAV":
        notes = check_wav(stream, name, start)
    elif kind == "OGG" and not _has_last_page(stream, size):
        notes = (Note("cut_off", "the sound file ends early: its last page is missing"),)
    return Container(kind, start, notes)


def _behind_tags(stream: BinaryIO, size: int) -> int:
    """Where the sound begins: libsndfile jumps over ID3 tags, so a look must as well."""
    start = 0
    for _ in range(_MAX_ID3_TAGS):
        stream.seek(start)
        head = stream.read(_ID3_BYTES)
        if head[:3] != b"ID3" or len(head) < _ID3_BYTES:
            break
        length = 0
        for seven_bits in head[6:]:
            length = length << 7 | seven_bits & 0x7F
        start = min(start + _ID3_BYTES + length, size)
    return start


def _has_last_page(stream: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg stream is there, marked so, and whole (RFC 3533)."""
    first = max(0, size - _OGG_PAGE_BYTES)
    stream.seek(first)
    tail = stream.read(_OGG_PAGE_BYTES)
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return False
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(segments) == tail[at + 26] and at + 27 + len(segments) + sum(segments) <= len(tail)
    return whole and bool(tail[at + 5] & _LAST_PAGE)
