"""Asterisk's AudioSocket (https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/).

A message is one byte for its kind, two for the length of its payload (big-endian), and the payload.
The first has the UUID of the call. Sound is 16-bit little-endian PCM; its kind names the rate.
"""

import uuid
from collections.abc import Sequence
from typing import ClassVar

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.options import CallOptions, MediaFormat

HANGUP, UUID, SILENCE, DTMF, ERROR = 0x00, 0x01, 0x02, 0x03, 0xFF
_RATES = {
    0x10: 8000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}


class AudioSocket:
    """Messages of one AudioSocket connection, without their length."""

    name: ClassVar[str] = "audiosocket"
    sends_events: ClassVar[bool] = False

    def __init__(self) -> None:
        self._call_id = ""
        self._kind: int | None = None

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means: the utterance starts with the first sound."""
        if isinstance(data, str) or not data:
            raise RequestError("not a message of AudioSocket.")
        kind, payload = data[0], data[1:]
        if kind == UUID:
            return self._identify(payload)
        if kind in _RATES:
            return self._on_sound(kind, payload)
        if kind in {SILENCE, DTMF}:
            return ()
        raise RequestError("not a message of AudioSocket.")

    def _identify(self, payload: bytes) -> Sequence[messages.Message]:
        if len(payload) != 16 or self._call_id:
            raise RequestError("the first message, and no other, must have the UUID in 16 bytes.")
        self._call_id = str(uuid.UUID(bytes=payload))
        return ()

    def _on_sound(self, kind: int, payload: bytes) -> Sequence[messages.Message]:
        if not self._call_id:
            raise RequestError("sound before the UUID.")
        if self._kind is not None:
            if kind != self._kind:
                raise RequestError("the sample rate must not change within a call.")
            return (messages.Media(payload),)
        self._kind = kind
        options = CallOptions(MediaFormat("pcm_s16le", _RATES[kind]), track="")
        start = messages.Start(options, self._call_id, self._call_id)
        return start, messages.Media(payload)
