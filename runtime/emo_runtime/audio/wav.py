"""A look at a WAV file's chunks before libsndfile sees it: impossible sizes are refused here.

libsndfile trusts the sizes inside ``LIST`` chunks; a 157-byte file with a malformed ``INFO`` list
makes it loop for ever (its issue 1118).
"""

import io
import struct
from typing import BinaryIO

from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

_MAX_CHUNKS = 10_000
_OPEN_END = 0x7FFF0000


def check_wav(stream: BinaryIO, name: str, start: int = 0) -> tuple[Note, ...]:
    """Raise AudioError where a RIFF/WAVE stream has chunks that can't be; leave others alone.

    ``start`` is where it begins. Gives a note where fewer samples are there than it promises.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    head = stream.read(12)
    if head[:4] not in {b"RIFF", b"RIFX", b"RF64"} or head[8:12] != b"WAVE":
        return ()
    order = ">" if head[:4] == b"RIFX" else "<"
    return _walk(stream, name, (start + 12, size), order, within_list=False)


def _walk(
    stream: BinaryIO, name: str, span: tuple[int, int], order: str, *, within_list: bool
) -> tuple[Note, ...]:
    position, end = span
    for _ in range(_MAX_CHUNKS):
        if end - position < 8:
            return ()
        stream.seek(position)
        kind, length = struct.unpack(f"{order}4sI", stream.read(8))
        position += 8
        if within_list and kind == bytes(4):
            return ()  # recorders reserve lists full of zeros; libsndfile jumps to their end
        if kind == b"data" and not within_list:
            if length > end - position:
                return _ends_early(end - position, length)
        elif length > end - position:
            raise AudioError(
                f"{name}: a damaged WAV file: its chunk {kind!r} claims {length:,} bytes, "
                f"{end - position:,} are left. Record or convert it again."
            )
        elif kind == b"LIST" and length >= 4 and not within_list:
            _walk(stream, name, (position + 4, position + length), order, within_list=True)
        position += length + length % 2
    raise AudioError(f"{name}: a damaged WAV file: more than {_MAX_CHUNKS:,} chunks.")


def _ends_early(found: int, promised: int) -> tuple[Note, ...]:
    # Who writes into a pipe does not know the length: 0xFFFFFFFF, 0x80000000, 0x7FFFF000 and
    # their like stand for "to the end".
    if promised >= _OPEN_END:
        return ()
    text = f"the sound file ends early: {found:,} of {promised:,} bytes of samples are there"
    return (Note("cut_off", text),)
