"""Plivo Audio Streaming (https://www.plivo.com/docs/voice/xml/audiostream).

Mu-law is accepted: the byte order of ``audio/x-l16``, Plivo's default, is not documented. Set the
stream's ``contentType`` to ``audio/x-mulaw;rate=8000``. Plivo closes the connection at the end.
"""

from typing import ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id
from emo_serving.live.dialects.media_streams import (
    DtmfEvent,
    Event,
    MediaStreams,
    StartEvent,
    StopEvent,
    TrackedMediaEvent,
)
from emo_serving.live.options import MediaFormat, call_options


class _Format(msgspec.Struct, rename="camel"):
    """``mediaFormat`` of a start message."""

    encoding: str
    sample_rate: int


class _StartBody(msgspec.Struct, rename="camel"):
    """Body of a start message."""

    call_id: str
    stream_id: str
    media_format: _Format


class _Start(StartEvent, tag="start"):
    """The stream begins; ``extra_headers`` are the parameters: ``name=value,name=value``."""

    start: _StartBody
    extra_headers: str = ""

    def to_start(self) -> messages.Start:
        """Return the start of an utterance."""
        given = self.start.media_format
        if (given.encoding, given.sample_rate) != ("audio/x-mulaw", 8000):
            raise RequestError("the stream's contentType must be audio/x-mulaw;rate=8000.")
        pairs = (pair.partition("=") for pair in self.extra_headers.split(","))
        parameters = {name.strip(): value.strip() for name, _, value in pairs}
        options = call_options(MediaFormat("mulaw", 8000), parameters)
        start = self.start
        return messages.Start(options, check_id(start.stream_id), check_id(start.call_id))


class _Played(Event, tag="playedStream"):
    """Sound that the server sent was played; this server sends none."""


class _Cleared(Event, tag="clearedAudio"):
    """Sound that the server sent was discarded; this server sends none."""


class Plivo(MediaStreams):
    """Messages of Plivo Audio Streaming."""

    name: ClassVar[str] = "plivo"
    decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(
        _Start | TrackedMediaEvent | StopEvent | DtmfEvent | _Played | _Cleared
    )
