"""Find the format of a sound file and the recordings in it, before a decoder sees it.

libsndfile reads some thirty formats and trusts their headers. Only formats in common use for speech
are passed to it; they are recognized by their first bytes.
"""

import io
import re
from dataclasses import dataclass, replace
from typing import BinaryIO

from emo_runtime.audio import ffmpeg
from emo_runtime.audio.aiff import read_aiff
from emo_runtime.audio.au import read_au
from emo_runtime.audio.flac import read_flac
from emo_runtime.audio.mpeg import id3_bytes, is_mp3, read_mp3
from emo_runtime.audio.ogg import NO_START, UnsupportedOggError, read_ogg
from emo_runtime.audio.segments import Part, Span, read_at
from emo_runtime.audio.signatures import Signature, describe, find_signature
from emo_runtime.audio.wav import MAGICS, UNKNOWN_TAG, UnsupportedWavError, read_wav
from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

_MAX_ID3_TAGS = 8
_HEAD_BYTES = 1024
_MAX_JUNK_BYTES = 1 << 16
_TAIL_BYTES = 1 << 16
_START = re.compile(
    rb"RIFF.{4}WAVE|RIFX.{4}WAVE|RF64.{4}WAVE|OggS\0\x02|fLaC[\0\x80]\0\0\x22|FORM.{4}AIF[FC]",
    re.DOTALL,
)


@dataclass(frozen=True)
class Container:
    """The format of a sound file, and the recordings in it that can be decoded."""

    kind: str
    parts: tuple[Part, ...]

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the structure of the file."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.notes))


def inspect(stream: BinaryIO, name: str) -> Container:
    """Return the recordings in a sound file. Raises AudioError if none can be decoded."""
    size = stream.seek(0, io.SEEK_END)
    if not size:
        raise AudioError(f"{name}: is empty (0 bytes). Check how it was recorded or copied.")
    stream.seek(0)
    if not isinstance(stream.read(1), bytes):
        raise AudioError(f"{name}: opened as text. Open it with mode 'rb'.")
    span = Span(_skip_id3(stream, size), size)
    head = read_at(stream, span.start, _HEAD_BYTES)
    parts = _parts(stream, name, span, head)
    last = _with_trailing_note(stream, span, parts[-1])
    return Container(parts[0].kind, (*parts[:-1], last))


def _with_trailing_note(stream: BinaryIO, span: Span, part: Part) -> Part:
    """Return the last part with a note if a recording of another format follows it."""
    end = max((item.end for item in part.segments if isinstance(item, Span)), default=span.end)
    if any(note.code == "trailing_data" for note in part.notes):
        return part
    if not _START.search(read_at(stream, end, min(_TAIL_BYTES, span.end - end))):
        return part
    text = "a second recording follows in the file; only the first was used"
    return replace(part, notes=(*part.notes, Note("trailing_data", text)))


def _parts(stream: BinaryIO, name: str, span: Span, head: bytes) -> tuple[Part, ...]:
    magic, form = head[:4], head[8:12]
    if magic in MAGICS and form == b"WAVE":
        return _wav_parts(stream, name, span)
    if magic == b"OggS":
        return _ogg_parts(stream, name, span)
    if magic == b"fLaC":
        return read_flac(stream, span)
    if magic == b"FORM" and form in {b"AIFF", b"AIFC"}:
        return (read_aiff(stream, name, span),)
    if magic == b".snd":
        return (read_au(head, span),)
    return _mp3_parts(stream, name, span, head)


def _after_junk(stream: BinaryIO, name: str, span: Span) -> tuple[Part, ...]:
    """Return the recordings of a file with other bytes in front; none if none is found."""
    data = read_at(stream, span.start, min(_MAX_JUNK_BYTES, span.end - span.start))
    found = _START.search(data, 1)
    at = data.find(b"OggS\0") if found is None else found.start()
    if at < 0:
        return ()
    start = span.start + at
    return _parts(stream, name, Span(start, span.end), read_at(stream, start, _HEAD_BYTES))


def _mp3_parts(stream: BinaryIO, name: str, span: Span, head: bytes) -> tuple[Part, ...]:
    """MP3 has no signature: other formats are excluded first."""
    signature = find_signature(head)
    if signature is not None and not is_mp3(stream, span):
        return _foreign(signature, name, span)
    parts = read_mp3(stream, span) or _after_junk(stream, name, span)
    if not parts:
        raise AudioError(
            f"{name}: not a supported sound file ({describe(head)}). WAV, FLAC, OGG, Opus and "
            "MP3 are supported; convert other formats first."
        )
    return parts


def _ogg_parts(stream: BinaryIO, name: str, span: Span) -> tuple[Part, ...]:
    try:
        return read_ogg(stream, span)
    except UnsupportedOggError as error:
        if str(error) == NO_START:
            raise AudioError(
                f"{name}: an Ogg file without its first page: the beginning of the recording is "
                "missing. Copy or record it again."
            ) from None
        demuxer = "ogg" if str(error) == "Speex" else None
        [part] = _foreign(Signature(f"{error} in Ogg", "ogg", demuxer), name, span)
        return (replace(error.part, kind=part.kind),)


def _wav_parts(stream: BinaryIO, name: str, span: Span) -> tuple[Part, ...]:
    try:
        part = read_wav(stream, name, span)
    except UnsupportedWavError as error:
        demuxer = None if str(error).startswith(UNKNOWN_TAG) else "wav"
        return _foreign(Signature(f"{error} in WAV", "wav", demuxer), name, span)
    if part.kind == "WAV":
        return (part,)
    [data] = part.segments
    parts = read_mp3(stream, Span(*data)) if isinstance(data, Span) else ()
    if not parts:
        raise AudioError(f"{name}: a damaged WAV file: it has no MP3 frames. Record it again.")
    return parts


def _foreign(signature: Signature, name: str, span: Span) -> tuple[Part, ...]:
    """A part that FFmpeg decodes. Raises AudioError if it is not allowed or not installed."""
    command = f"ffmpeg -i input.{signature.suffix} output.wav"
    if signature.demuxer is None:
        raise AudioError(
            f"{name}: not a supported sound file: {signature.name}. Convert it: `{command}`."
        )
    if not ffmpeg.is_installed():
        raise AudioError(
            f"{name}: not a supported sound file: {signature.name}. Convert it: `{command}`. Or "
            'install the decoder: pip install "emo-runtime[ffmpeg]".'
        )
    return (Part(f"ffmpeg:{signature.demuxer}", (span,)),)


def _skip_id3(stream: BinaryIO, size: int) -> int:
    """The position after ID3v2 tags, which libsndfile skips in front of every format."""
    start = 0
    for _ in range(_MAX_ID3_TAGS):
        head = read_at(stream, start, 10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        start = min(start + id3_bytes(head), size)
    return start
