"""A look at a WAV file's chunks before libsndfile sees it: impossible sizes are refused here.

libsndfile trusts the sizes inside ``LIST`` chunks; a 157-byte file with a malformed ``INFO`` list
makes it loop for ever (its issue 1118).
"""

import io
import struct
from typing import BinaryIO

from emo_runtime.errors import AudioError

_MAX_CHUNKS = 10_000


def check_wav(stream: BinaryIO, name: str) -> None:
    """Raise AudioError where a RIFF/WAVE stream has chunks that can't be; leave others alone."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] not in {b"RIFF", b"RIFX", b"RF64"} or head[8:12] != b"WAVE":
        return
    order = ">" if head[:4] == b"RIFX" else "<"
    _walk(stream, name, (12, size), order, within_list=False)


def _walk(
    stream: BinaryIO, name: str, span: tuple[int, int], order: str, *, within_list: bool
) -> None:
    position, end = span
    for _ in range(_MAX_CHUNKS):
        if end - position < 8:
            return
        stream.seek(position)
        kind, length = struct.unpack(f"{order}4sI", stream.read(8))
        position += 8
        if within_list and kind == bytes(4):
            return  # recorders reserve lists full of zeros; libsndfile jumps to their end
        if kind == b"data" and not within_list:
            # Recorders that were cut off leave 0 or 0xFFFFFFFF here; the samples run to the end.
            if length > end - position:
                return
        elif length > end - position:
            raise AudioError(
                f"{name}: a damaged WAV file: its chunk {kind!r} claims {length:,} bytes, "
                f"{end - position:,} are left. Record or convert it again."
            )
        elif kind == b"LIST" and length >= 4 and not within_list:
            _walk(stream, name, (position + 4, position + length), order, within_list=True)
        position += length + length % 2
    raise AudioError(f"{name}: a damaged WAV file: more than {_MAX_CHUNKS:,} chunks.")
