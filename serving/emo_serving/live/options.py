"""Options of a live call, from the parameters that its client gives as strings or numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from emo_runtime.audio.encodings import Encoding
from emo_runtime.bundle.manifest import TaskName
from emo_serving.api.schemas import check_task
from emo_serving.errors import RequestError

DEFAULT_INTERVAL_MS = 500.0
MIN_INTERVAL_MS = 100.0

Parameters = Mapping[str, str | float | None]


@dataclass(frozen=True)
class MediaFormat:
    """Format of the packets."""

    encoding: Encoding
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True)
class CallOptions:
    """Options of a live call.

    Args:
        media: Format of the packets.
        interval_s: Time between two events.
        task: Task to use; None: what the inputs allow.
        window_s: Seconds of sound that an answer considers; None: the server's limit.
        track: The track that is recognized.
        text: The transcript so far.
        speaker: Name of the speaker, whose profile adapts the answers; None: the track's speaker.
        webhook: URL that receives the call's events.
        bundle: Name of the bundle that answers; None: the default.
        token: Bearer token of a platform that can't send it with the handshake.
    """

    media: MediaFormat
    interval_s: float = DEFAULT_INTERVAL_MS / 1e3
    task: TaskName | None = None
    window_s: float | None = None
    track: str = "inbound"
    text: str | None = None
    speaker: str | None = None
    webhook: str | None = None
    bundle: str | None = None
    token: str = field(default="", repr=False)


def call_options(media: MediaFormat, given: Parameters) -> CallOptions:
    """Return the options that ``given`` names; others are ignored. Raises RequestError."""
    task = given.get("task") or None
    interval_ms = _number(given, "interval_ms")
    if interval_ms is not None and interval_ms < MIN_INTERVAL_MS:
        raise RequestError(f"interval_ms must be at least {MIN_INTERVAL_MS:g}.")
    text = given.get("text")
    return CallOptions(
        media=media,
        interval_s=(DEFAULT_INTERVAL_MS if interval_ms is None else interval_ms) / 1e3,
        task=check_task(None if task is None else str(task)),
        window_s=_number(given, "window_s"),
        track=str(given.get("track") or "inbound"),
        text=None if text is None else str(text),
        speaker=str(given.get("speaker") or "") or None,
        webhook=str(given.get("webhook") or "") or None,
        bundle=str(given.get("bundle") or "") or None,
        token=str(given.get("token") or ""),
    )


def _number(given: Parameters, name: Literal["interval_ms", "window_s"]) -> float | None:
    value = given.get(name)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise RequestError(f"{name} must be a number above 0.")
    return number
