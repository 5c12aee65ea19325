"""Exotel's Stream and Voicebot applets.

https://developer.exotel.com/docs/agentstream/stream-voicebot-applet

Sound is 16-bit little-endian PCM at 8, 16 or 24 kHz in base64, or mu-law where the applet's media
format says so.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from emo_runtime.audio.encodings import Encoding
from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message, plain_parameters
from emo_serving.live.options import MediaFormat, call_options

# "base64" is what the examples of the documentation name: how the samples are transported.
_ENCODINGS: dict[str, Encoding] = {
    "base64": "pcm_s16le",
    "raw/slin": "pcm_s16le",
    "audio/x-mulaw": "mulaw",
}
_RATES = {"8000": 8000, "16000": 16000, "24000": 24000}


class _Format(msgspec.Struct):
    """``media_format`` of a start message."""

    encoding: str
    sample_rate: str | int


class _StartBody(msgspec.Struct):
    """Body of a start message."""

    stream_sid: str
    call_sid: str
    media_format: _Format
    custom_parameters: dict[str, Any] | None = None


class _Start(msgspec.Struct, tag_field="event", tag="start"):
    """The stream begins."""

    start: _StartBody


class _MediaBody(msgspec.Struct):
    """A packet in base64; ``track`` only where both are streamed."""

    payload: bytes
    track: str = ""


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


class _Clear(msgspec.Struct, tag_field="event", tag="clear"):
    """The context of the conversation was reset; the stream continues."""


_Message = _Start | _Media | _Stop | _Connected | _Dtmf | _Mark | _Clear
_decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


class Exotel:
    """Messages of Exotel's applets."""

    name: ClassVar[str] = "exotel"
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
    start = message.start
    encoding, rate = start.media_format.encoding, str(start.media_format.sample_rate)
    if encoding not in _ENCODINGS or rate not in _RATES:
        raise RequestError(
            f"media_format must be one of {', '.join(_ENCODINGS)} at {', '.join(_RATES)} Hz."
        )
    media = MediaFormat(_ENCODINGS[encoding], _RATES[rate])
    options = call_options(media, plain_parameters(start.custom_parameters))
    return messages.Start(options, check_id(start.stream_sid), check_id(start.call_sid))
