"""Twilio Media Streams (https://www.twilio.com/docs/voice/media-streams/websocket-messages).

Sound is mu-law at 8 kHz in base64. Twilio takes what the server sends for sound to play, so events
are not sent over this connection.
"""

from typing import ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, plain_parameters
from emo_serving.live.dialects.media_streams import (
    ConnectedEvent,
    DtmfEvent,
    Event,
    MarkEvent,
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
    channels: int


class _StartBody(msgspec.Struct, rename="camel"):
    """Body of a start message."""

    call_sid: str
    media_format: _Format
    custom_parameters: dict[str, str] = {}


class _Start(StartEvent, tag="start", rename="camel"):
    """The stream begins."""

    stream_sid: str
    start: _StartBody

    def to_start(self) -> messages.Start:
        """Return the start of an utterance."""
        given = self.start.media_format
        if (given.encoding, given.sample_rate, given.channels) != ("audio/x-mulaw", 8000, 1):
            raise RequestError("Twilio's media format must be audio/x-mulaw, 8000 Hz, 1 channel.")
        parameters = plain_parameters(self.start.custom_parameters)
        options = call_options(MediaFormat("mulaw", 8000), parameters)
        return messages.Start(options, check_id(self.stream_sid), check_id(self.start.call_sid))


class Twilio(MediaStreams):
    """Messages of Twilio Media Streams."""

    name: ClassVar[str] = "twilio"
    decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(
        _Start | TrackedMediaEvent | StopEvent | ConnectedEvent | DtmfEvent | MarkEvent
    )
