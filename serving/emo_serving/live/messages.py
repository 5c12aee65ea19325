"""The messages of live calls: those of telephony media streams, and ``transcript``.

``connected``, ``start``, ``media``, ``mark``, ``dtmf`` and ``stop`` are as telephone platforms send
them; fields that are not needed are passed over. A browser sends ``start`` with a ``mediaFormat``
of its own, then the samples as binary messages in place of ``media``.
"""

import math
from dataclasses import dataclass
from typing import Literal

import msgspec

from emo_runtime.audio.encodings import Encoding
from emo_runtime.bundle.manifest import TaskName
from emo_serving.errors import RequestError

_ENCODINGS: dict[str, Encoding] = {
    "audio/x-mulaw": "mulaw",
    "audio/x-alaw": "alaw",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "pcm_s16le": "pcm_s16le",
    "pcm_f32le": "pcm_f32le",
}
_TASKS: dict[str, TaskName] = {"text": "text", "fusion": "fusion", "audio": "audio"}
DEFAULT_INTERVAL_MS = 500.0
MIN_INTERVAL_MS = 100.0


class Connected(msgspec.Struct, tag_field="event", tag="connected"):
    """The first message of a telephone platform."""


class Dtmf(msgspec.Struct, tag_field="event", tag="dtmf"):
    """A key was pressed: nothing to hear."""


class MediaFormat(msgspec.Struct, rename="camel"):
    """Of the samples."""

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


class StartBody(msgspec.Struct, rename="camel"):
    """What a call is like; ``customParameters`` are the caller's wishes, as strings or numbers."""

    media_format: MediaFormat = msgspec.field(default_factory=MediaFormat)
    custom_parameters: dict[str, str | float | None] = {}


class Start(msgspec.Struct, tag_field="event", tag="start", rename="camel"):
    """An utterance begins."""

    start: StartBody = msgspec.field(default_factory=StartBody)
    stream_sid: str = ""


class MediaBody(msgspec.Struct):
    """A packet: ``payload`` in base64."""

    payload: bytes
    track: str = ""


class Media(msgspec.Struct, tag_field="event", tag="media"):
    """A packet of sound."""

    media: MediaBody


class MarkBody(msgspec.Struct):
    """A mark's name."""

    name: str = ""


class Mark(msgspec.Struct, tag_field="event", tag="mark"):
    """Asks for an answer for what came before; it bears the mark's name."""

    mark: MarkBody = msgspec.field(default_factory=MarkBody)


class TranscriptBody(msgspec.Struct):
    """The transcript of the utterance as it stands now, from its beginning."""

    text: str


class Transcript(msgspec.Struct, tag_field="event", tag="transcript"):
    """The transcript has changed."""

    transcript: TranscriptBody


class Stop(msgspec.Struct, tag_field="event", tag="stop"):
    """The utterance ends: the final answer is wanted."""


Message = Connected | Start | Media | Mark | Transcript | Dtmf | Stop
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


@dataclass(frozen=True)
class StreamOptions:
    """What a ``start`` asks for, checked."""

    encoding: Encoding
    sample_rate: int
    channels: int
    interval_s: float
    task: TaskName | None
    window_s: float | None
    track: str
    text: str | None


def parse_message(text: str | bytes) -> Message:
    """A JSON message. Raises RequestError, which never quotes it."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"not a message of a live call: {_reason(error)}") from None


def parse_stream_options(start: Start) -> StreamOptions:
    """What a call asks for. Raises RequestError."""
    media, given = start.start.media_format, start.start.custom_parameters
    if media.encoding not in _ENCODINGS:
        raise RequestError(f"mediaFormat.encoding is one of: {', '.join(_ENCODINGS)}.")
    task = given.get("task") or None
    if task is not None and task not in _TASKS:
        raise RequestError(f"task is one of: {', '.join(_TASKS)}.")
    interval_ms = _number(given, "interval_ms")
    if interval_ms is not None and interval_ms < MIN_INTERVAL_MS:
        raise RequestError(f"interval_ms is at least {MIN_INTERVAL_MS:g}.")
    text = given.get("text")
    return StreamOptions(
        encoding=_ENCODINGS[media.encoding],
        sample_rate=media.sample_rate,
        channels=media.channels,
        interval_s=(DEFAULT_INTERVAL_MS if interval_ms is None else interval_ms) / 1e3,
        task=None if task is None else _TASKS[str(task)],
        window_s=_number(given, "window_s"),
        track=str(given.get("track") or "inbound"),
        text=None if text is None else str(text),
    )


def _number(
    given: dict[str, str | float | None], name: Literal["interval_ms", "window_s"]
) -> float | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise RequestError(f"{name} is a number above 0.")
    return number


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] if isinstance(error, msgspec.DecodeError) else "."
