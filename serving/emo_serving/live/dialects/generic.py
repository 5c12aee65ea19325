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
from emo_serving.live.dialects.base import check_id
from emo_serving.live.dialects.media_streams import (
    ConnectedEvent,
    DtmfEvent,
    Event,
    MediaEvent,
    MediaStreams,
    StartEvent,
    StopEvent,
)
from emo_serving.live.options import MediaFormat, call_options

ENCODINGS: dict[str, Encoding] = {
    "audio/x-mulaw": "mulaw",
    "audio/x-alaw": "alaw",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
}


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


class _Start(StartEvent, tag="start", rename="camel"):
    """An utterance begins."""

    start: _StartBody = msgspec.field(default_factory=_StartBody)
    stream_sid: str = ""

    def to_start(self) -> messages.Start:
        """Return the start of an utterance."""
        media = self.start.media_format
        if media.encoding not in ENCODINGS:
            raise RequestError(f"mediaFormat.encoding is one of: {', '.join(ENCODINGS)}.")
        chosen = MediaFormat(ENCODINGS[media.encoding], media.sample_rate, media.channels)
        options = call_options(chosen, self.start.custom_parameters)
        return messages.Start(options, check_id(self.stream_sid), check_id(self.start.call_sid))


class _MarkBody(msgspec.Struct):
    """Name of a mark."""

    name: str = ""


class _Mark(Event, tag="mark"):
    """An answer is wanted."""

    mark: _MarkBody = msgspec.field(default_factory=_MarkBody)


class _TranscriptBody(msgspec.Struct):
    """Text of a transcript."""

    text: str


class _Transcript(Event, tag="transcript"):
    """The transcript has changed."""

    transcript: _TranscriptBody


class Generic(MediaStreams):
    """The server's own dialect."""

    name: ClassVar[str] = "generic"
    sends_events: ClassVar[bool] = True
    decoder: ClassVar[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(
        _Start | MediaEvent | StopEvent | ConnectedEvent | DtmfEvent | _Mark | _Transcript
    )

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means; a binary one is a packet."""
        return (messages.Media(data),) if isinstance(data, bytes) else super().parse(data)

    def on_other(self, event: Event) -> Sequence[messages.Message]:
        """Return what a transcript or a mark means."""
        match event:
            case _Transcript(transcript=transcript):
                return (messages.Transcript(transcript.text),)
            case _Mark(mark=mark):
                return (messages.Mark(mark.name),)
            case _:
                return ()
