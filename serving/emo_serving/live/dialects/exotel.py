"""Exotel's Stream and Voicebot applets.

https://developer.exotel.com/docs/agentstream/stream-voicebot-applet

Sound is 16-bit little-endian PCM at 8, 16 or 24 kHz in base64, or mu-law where the applet's media
format says so.
"""

from typing import Any, ClassVar

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
)
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


class _Start(StartEvent, tag="start"):
    """The stream begins."""

    start: _StartBody

    def to_start(self) -> messages.Start:
        """Return the start of an utterance."""
        start = self.start
        encoding, rate = start.media_format.encoding, str(start.media_format.sample_rate)
        if encoding not in _ENCODINGS or rate not in _RATES:
            raise RequestError(
                f"media_format must be one of {', '.join(_ENCODINGS)} at {', '.join(_RATES)} Hz."
            )
        media = MediaFormat(_ENCODINGS[encoding], _RATES[rate])
        options = call_options(media, plain_parameters(start.custom_parameters))
        return messages.Start(options, check_id(start.stream_sid), check_id(start.call_sid))


class _Clear(Event, tag="clear"):
    """The context of the conversation was reset; the stream continues."""


class Exotel(MediaStreams):
    """Messages of Exotel's applets; packets name a track only if both are streamed."""

    name: ClassVar[str] = "exotel"
    decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(
        _Start | MediaEvent | StopEvent | ConnectedEvent | DtmfEvent | MarkEvent | _Clear
    )
