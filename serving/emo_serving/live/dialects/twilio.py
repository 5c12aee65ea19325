"""Twilio Media Streams (https://www.twilio.com/docs/voice/media-streams/websocket-messages).

Sound is mu-law at 8 kHz in base64. Twilio takes what the server sends for sound to play, so events
are not sent over this connection.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message, plain_parameters
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


class _Start(msgspec.Struct, tag_field="event", tag="start", rename="camel"):
    """The stream begins."""

    stream_sid: str
    start: _StartBody


class _MediaBody(msgspec.Struct):
    """A packet in base64."""

    track: str
    payload: bytes


class _Media(msgspec.Struct, tag_field="event", tag="media"):
    """A packet."""

    media: _MediaBody


class _Stop(msgspec.Struct, tag_field="event", tag="stop"):
    """The stream ends."""


class _Connected(msgspec.Struct, tag_field="event", tag="connected"):
    """The first message."""


class _Dtmf(msgspec.Struct, tag_field="event", tag="dtmf"):
    """A key was pressed."""


class _Mark(msgspec.Struct, tag_field="event", tag="mark"):
    """Sound that the server sent was played; this server sends none."""


_decoder: msgspec.json.Decoder[_Start | _Media | _Stop | _Connected | _Dtmf | _Mark]
_decoder = msgspec.json.Decoder(_Start | _Media | _Stop | _Connected | _Dtmf | _Mark)


class Twilio:
    """Messages of Twilio Media Streams."""

    name: ClassVar[str] = "twilio"
    sends_events: ClassVar[bool] = False

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        match decode_message(_decoder, data):
            case _Media(media=media):
                return (messages.Media(media.payload, media.track),)
            case _Start() as start:
                return (_started(start),)
            case _Stop():
                return (messages.Stop(),)
            case _:
                return ()


def _started(message: _Start) -> messages.Start:
    given = message.start.media_format
    if (given.encoding, given.sample_rate, given.channels) != ("audio/x-mulaw", 8000, 1):
        raise RequestError("Twilio's media format must be audio/x-mulaw, 8000 Hz, 1 channel.")
    options = call_options(
        MediaFormat("mulaw", 8000), plain_parameters(message.start.custom_parameters)
    )
    return messages.Start(options, check_id(message.stream_sid), check_id(message.start.call_sid))
