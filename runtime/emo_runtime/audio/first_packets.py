"""Check the first packets of a stream: are they samples, and in the stated byte order?"""

import re

import numpy as np

from emo_runtime.errors import AudioError
from emo_runtime.notes import Note

_MAX_BYTES = 4096
_MIN_TEXT_BYTES = 128
_MIN_TEXT_CHARACTERS = 16  # different ones: A-law silence is a row of equal letters
_ORDER_BYTES = 32_000  # one second at 16 kHz
_SWAPPED = {"pcm_s16le": "pcm_s16be", "pcm_s16be": "pcm_s16le"}
# Energy of the differences of neighbouring samples / (2 x their energy): 1 for white noise.
_NOISE_LIKE, _SPEECH_LIKE = 0.8, 0.5
_MIN_LEVEL = 100.0
_FILES = (
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "a WAV file"),
    (re.compile(rb"OggS\0"), "an Ogg file (Opus or Vorbis)"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "WebM, as browsers record it"),
    (re.compile(rb"fLaC\0\0\0\x22"), "a FLAC file"),
    (re.compile(rb"ID3[\2-\4]\0"), "an MP3 file"),
    (re.compile(rb"....ftyp", re.DOTALL), "an MP4 or M4A file"),
    (re.compile(rb"#!AMR"), "AMR"),
    (re.compile(rb"\.snd\0\0\0"), "an AU file"),
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\r\n=-]+")
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]+")


class FirstPackets:
    """Checks the first bytes of a stream.

    ``notes`` has a note if the samples look like noise in the stated byte order and like speech in
    the other one.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._head = bytearray()
        self._order = bytearray()
        self.notes: tuple[Note, ...] = ()

    def check(self, data: bytes) -> None:
        """Take the next bytes. Raises AudioError if they are not samples."""
        if len(self._head) < _MAX_BYTES:
            head = bytes(self._head) + data[: _MAX_BYTES - len(self._head)]
            _refuse_files(head)
            _refuse_text(head)
            self._head += data[: _MAX_BYTES - len(self._head)]
        if self._encoding in _SWAPPED and len(self._order) < _ORDER_BYTES:
            self._check_order(data)

    def _check_order(self, data: bytes) -> None:
        given = "<i2" if self._encoding == "pcm_s16le" else ">i2"
        samples = np.frombuffer(data, given, len(data) // 2)
        # Silence is not judged: it has few values in either order.
        if len(samples) and float(np.abs(samples.astype(np.float32)).max()) > _MIN_LEVEL:
            self._order += data
        if len(self._order) < _ORDER_BYTES:
            return
        as_given = np.frombuffer(bytes(self._order), given, len(self._order) // 2)
        if _roughness(as_given) > _NOISE_LIKE and _roughness(as_given.byteswap()) < _SPEECH_LIKE:
            text = (
                f"the samples look like noise in the byte order of {self._encoding} and like "
                f"speech in the other one: give encoding={_SWAPPED[self._encoding]!r}"
            )
            self.notes = (Note("byte_order", text),)


def _refuse_files(head: bytes) -> None:
    for pattern, name in _FILES:
        if pattern.match(head):
            raise AudioError(
                f"the stream starts with {name}: a stream accepts raw samples only. Decode it, "
                "or give the whole file to recognize()."
            )
    if is_mp3_start(head):
        raise AudioError(
            "the stream starts with MP3 frames: a stream accepts raw samples only. Decode "
            "them, or give the whole file to recognize()."
        )


def _refuse_text(head: bytes) -> None:
    if len(head) < _MIN_TEXT_BYTES or len(set(head)) < _MIN_TEXT_CHARACTERS:
        return
    if _BASE64.fullmatch(head):
        raise AudioError("the packets are base64 text: feed base64.b64decode(packet).")
    if _TEXT.fullmatch(head):
        raise AudioError("the packets are text, not samples: feed the bytes of the sound in them.")


def is_mp3_start(head: bytes) -> bool:
    """True if bytes start with three MP3 frames of one kind."""
    from emo_runtime.audio.mpeg import frame_bytes  # noqa: PLC0415  (streams rarely need it)

    position = 0
    for _ in range(3):
        header = int.from_bytes(head[position : position + 3])
        if len(head) < position + 3 or not frame_bytes(header):
            return False
        position += frame_bytes(header)
    return True


def _roughness(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> float:
    values = samples.astype(np.float64)
    energy = float(np.dot(values, values))
    steps = np.diff(values)
    return float(np.dot(steps, steps)) / (2 * energy) if energy else 1.0
