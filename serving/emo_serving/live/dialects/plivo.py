"""Plivo Audio Streaming (https://www.plivo.com/docs/voice/xml/audiostream).

Mu-law is accepted: the byte order of ``audio/x-l16``, Plivo's default, is not documented. Set the
stream's ``contentType`` to ``audio/x-mulaw;rate=8000``. Plivo closes the connection at the end.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message
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


class _Start(msgspec.Struct, tag_field="event", tag="start"):
    """The stream begins; ``extra_headers`` are the parameters: ``name=value,name=value``."""

    start: _StartBody
    extra_headers: str = ""


class _MediaBody(msgspec.Struct):
    """A packet in base64."""

    track: str
    payload: bytes


class _Media(msgspec.Struct, tag_field="event", tag="media"):
    """A packet."""

    media: _MediaBody


class _Dtmf(msgspec.Struct, tag_field="event", tag="dtmf"):
    """A key was pressed."""


class _Played(msgspec.Struct, tag_field="event", tag="playedStream"):
    """Sound that the server sent was played; this server sends none."""


class _Cleared(msgspec.Struct, tag_field="event", tag="clearedAudio"):
    """Sound that the server sent was discarded; this server sends none."""


class _Stop(msgspec.Struct, tag_field="event", tag="stop"):
    """The stream ends."""


_Message = _Start | _Media | _Dtmf | _Played | _Cleared | _Stop
_decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


class Plivo:
    """Messages of Plivo Audio Streaming."""

    name: ClassVar[str] = "plivo"
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
    if (given.encoding, given.sample_rate) != ("audio/x-mulaw", 8000):
        raise RequestError("the stream's contentType must be audio/x-mulaw;rate=8000.")
    pairs = (pair.partition("=") for pair in message.extra_headers.split(","))
    parameters = {name.strip(): value.strip() for name, _, value in pairs}
    options = call_options(MediaFormat("mulaw", 8000), parameters)
    start = message.start
    return messages.Start(options, check_id(start.stream_id), check_id(start.call_id))
