"""The server's own dialect: the messages of Twilio's media streams, and ``transcript``.

``connected``, ``start``, ``media``, ``mark``, ``dtmf`` and ``stop`` are as in Twilio's Media
Streams; unknown fields are ignored. A browser sends ``start`` with its own ``mediaFormat``,
then the samples as binary messages in place of ``media``. Events are sent back.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from emo_runtime.audio.encodings import Encoding
from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message
from emo_serving.live.options import MediaFormat, call_options

ENCODINGS: dict[str, Encoding] = {
    "audio/x-mulaw": "mulaw",
    "audio/x-alaw": "alaw",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
}


class _Connected(msgspec.Struct, tag_field="event", tag="connected"):
    """The first message of a telephone platform."""


class _Dtmf(msgspec.Struct, tag_field="event", tag="dtmf"):
    """A key was pressed."""


class _MediaFormat(msgspec.Struct, rename="camel"):
    """Format of the samples."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


class _StartBody(msgspec.Struct, rename="camel"):
    """Format and parameters of a call."""

    media_format: _MediaFormat = msgspec.field(default_factory=_MediaFormat)
    custom_parameters: dict[str, str | float | None] = {}
    call_sid: str = ""


class _Start(msgspec.Struct, tag_field="event", tag="start", rename="camel"):
    """An utterance begins."""

    start: _StartBody = msgspec.field(default_factory=_StartBody)
    stream_sid: str = ""


class _MediaBody(msgspec.Struct):
    """A packet in base64."""

    payload: bytes
    track: str = ""


class _Media(msgspec.Struct, tag_field="event", tag="media"):
    """A packet of sound."""

    media: _MediaBody


class _MarkBody(msgspec.Struct):
    """Name of a mark."""

    name: str = ""


class _Mark(msgspec.Struct, tag_field="event", tag="mark"):
    """An answer is wanted."""

    mark: _MarkBody = msgspec.field(default_factory=_MarkBody)


class _TranscriptBody(msgspec.Struct):
    """Text of a transcript."""

    text: str


class _Transcript(msgspec.Struct, tag_field="event", tag="transcript"):
    """The transcript has changed."""

    transcript: _TranscriptBody


class _Stop(msgspec.Struct, tag_field="event", tag="stop"):
    """The utterance ends."""


_Message = _Connected | _Start | _Media | _Mark | _Transcript | _Dtmf | _Stop
_decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


class Generic:
    """The server's own dialect."""

    name: ClassVar[str] = "generic"
    sends_events: ClassVar[bool] = True

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        if isinstance(data, bytes):
            return (messages.Media(data),)
        message = _message(decode_message(_decoder, data))
        return () if message is None else (message,)


def _message(given: _Message) -> messages.Message | None:
    message: messages.Message | None = None
    match given:
        case _Media(media=media):
            message = messages.Media(media.payload, media.track)
        case _Transcript(transcript=transcript):
            message = messages.Transcript(transcript.text)
        case _Mark(mark=mark):
            message = messages.Mark(mark.name)
        case _Start() as start:
            message = _started(start)
        case _Stop():
            message = messages.Stop()
    return message


def _started(message: _Start) -> messages.Start:
    media = message.start.media_format
    if media.encoding not in ENCODINGS:
        raise RequestError(f"mediaFormat.encoding is one of: {', '.join(ENCODINGS)}.")
    chosen = MediaFormat(ENCODINGS[media.encoding], media.sample_rate, media.channels)
    return messages.Start(
        call_options(chosen, message.start.custom_parameters),
        check_id(message.stream_sid),
        check_id(message.start.call_sid),
    )
