"""Telnyx Media Streaming.

https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket

The order of media messages is not guaranteed: they are sorted by ``media.chunk``. PCMU and PCMA
are accepted; for other codecs, set the stream's codec to one of them.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import msgspec

from emo_runtime.audio.encodings import Encoding
from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, plain_parameters
from emo_serving.live.dialects.media_streams import (
    ConnectedEvent,
    DtmfEvent,
    Event,
    MarkEvent,
    MediaEvent,
    MediaStreams,
    StartEvent,
    StopEvent,
    TrackedMediaBody,
)
from emo_serving.live.options import MediaFormat, call_options

_ENCODINGS: dict[str, Encoding] = {"PCMU": "mulaw", "PCMA": "alaw"}
# A packet that is missing for so many later ones is given up.
_MAX_AHEAD = 25


class _Format(msgspec.Struct):
    """``media_format`` of a start message."""

    encoding: str
    sample_rate: int
    channels: int = 1


class _StartBody(msgspec.Struct):
    """Body of a start message."""

    call_control_id: str
    media_format: _Format
    custom_parameters: dict[str, Any] | None = None


class _Start(StartEvent, tag="start"):
    """The stream begins."""

    stream_id: str
    start: _StartBody

    def to_start(self) -> messages.Start:
        """Return the start of an utterance."""
        given = self.start.media_format
        if given.encoding not in _ENCODINGS:
            raise RequestError(
                "the stream's codec must be PCMU or PCMA: set it when it is started."
            )
        media = MediaFormat(_ENCODINGS[given.encoding], given.sample_rate, given.channels)
        options = call_options(media, plain_parameters(self.start.custom_parameters))
        call_id = check_id(self.start.call_control_id)
        return messages.Start(options, check_id(self.stream_id), call_id)


class _MediaBody(TrackedMediaBody):
    """A packet in base64, with its number in its track."""

    chunk: str


class _Media(MediaEvent, tag="media"):
    """A packet."""

    media: _MediaBody


class _Error(Event, tag="error"):
    """A complaint of Telnyx about a message of the server."""


class Telnyx(MediaStreams):
    """Messages of Telnyx Media Streaming."""

    name: ClassVar[str] = "telnyx"
    decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(
        _Start | _Media | StopEvent | ConnectedEvent | DtmfEvent | MarkEvent | _Error
    )

    def __init__(self) -> None:
        self._tracks: dict[str, _InOrder] = {}

    def on_start(self, event: StartEvent) -> Sequence[messages.Message]:
        """Forget the packets of an earlier utterance."""
        self._tracks = {}
        return super().on_start(event)

    def on_media(self, event: MediaEvent) -> Sequence[messages.Message]:
        """Return the packets that are next in the order of their track."""
        media = cast("_Media", event).media  # the decoder has no other
        track = self._tracks.setdefault(media.track, _InOrder())
        packets = track.add(_number(media.chunk), media.payload)
        return [messages.Media(packet, media.track) for packet in packets]

    def on_stop(self) -> Sequence[messages.Message]:
        """Return the packets that still wait for an earlier one, then the stop."""
        rest = [
            messages.Media(packet, name)
            for name, track in self._tracks.items()
            for packet in track.rest()
        ]
        return [*rest, messages.Stop()]


class _InOrder:
    """Packets of one track, sorted by their number."""

    def __init__(self) -> None:
        self._next = 1
        self._waiting: dict[int, bytes] = {}

    def add(self, number: int, packet: bytes) -> list[bytes]:
        """Return the packets that are next in order; a late or repeated one is left out."""
        if number >= self._next:
            self._waiting[number] = packet
        if self._next not in self._waiting and len(self._waiting) > _MAX_AHEAD:
            self._next = min(self._waiting)
        ready = []
        while self._next in self._waiting:
            ready.append(self._waiting.pop(self._next))
            self._next += 1
        return ready

    def rest(self) -> list[bytes]:
        """Return the packets that still wait for an earlier one."""
        rest = [self._waiting[number] for number in sorted(self._waiting)]
        self._waiting = {}
        return rest


def _number(chunk: str) -> int:
    if not (chunk.isascii() and chunk.isdigit() and len(chunk) < 16):
        raise RequestError("media.chunk must be a number.")
    return int(chunk)
