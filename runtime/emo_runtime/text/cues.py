"""Cues: the timed parts of a transcript."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

# Speech recognizers round the ends of neighbouring segments differently: no real overlap.
MAX_ROUNDING_S = 0.05


@dataclass(frozen=True)
class Cue:
    """Words said from ``start_s`` to ``end_s`` of a recording.

    Attributes:
        start_s: start in seconds.
        end_s: end in seconds; infinite: until the end of the recording.
        text: the words; empty if the transcript has none for this time.
        speaker: the speaker's name in the transcript.
        channel: the recording's channel to read, from 0; None: the mean of all channels.
        problem: why this cue cannot be answered (such as invalid times), or None.
        adjusted: how missing or impossible times were adjusted, or None.
    """

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None
    channel: int | None = None
    problem: str | None = None
    adjusted: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RawCue:
    """A cue as read from a file: times may be missing or wrong, the text has its markup."""

    start_s: float | None
    end_s: float | None
    text: str
    speaker: str | None = None
    channel: int | None = None
    problem: str | None = None


def resolve_times(raw: Sequence[RawCue]) -> list[Cue]:
    """Complete missing times from neighbouring cues; cues without usable times get a problem.

    - A missing end becomes the start of the next cue; that of the last one is infinite.
    - A start below zero becomes zero.
    - Neighbours in the same channel that overlap by no more than rounding are cut at the start of
      the later one.
    - A missing start, an end before the start and a number that is not finite are problems.
    """
    starts = [_finite(cue.start_s) for cue in raw]
    cues: list[Cue] = []
    for number, cue in enumerate(raw):
        start = starts[number]
        following = _next_start(raw, starts, number)
        problem, adjusted = cue.problem, None
        end = cue.end_s
        if start is None:
            problem = problem or _no_start(cue)
            start = _previous_end(cues)
            end = start
        elif end is not None and not math.isfinite(end):
            problem = problem or f"its end is {end}"
            end = start
        elif end is None:
            end = math.inf if following is None else following
            adjusted = "its end is missing: it lasts until the next cue or the end"
        elif end < start:
            problem = problem or f"it ends at {end:g} s, before its start at {start:g} s"
            end = start
        elif following is not None and start < following < end <= following + MAX_ROUNDING_S:
            end = following
        if start < 0:
            if end <= 0 and problem is None:
                problem = f"it ends at {end:g} s, before the recording starts"
            start, end = 0.0, max(end, 0.0)
            adjusted = "it starts before the recording: its start was set to 0 s"
        cues.append(Cue(start, end, cue.text, cue.speaker, cue.channel, problem, adjusted))
    return cues


def end_of_recording(cue: Cue, duration_s: float) -> Cue:
    """Return the cue with an open end set to the end of the recording."""
    return replace(cue, end_s=max(duration_s, cue.start_s)) if math.isinf(cue.end_s) else cue


def with_channel(cues: Iterable[Cue], channel: int | None) -> list[Cue]:
    """Return the cues, all of one channel; None: the channels named in the transcript."""
    return [cue if channel is None else replace(cue, channel=channel) for cue in cues]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _previous_end(cues: Sequence[Cue]) -> float:
    """Return where the cue before ends (starts, if its end is open); 0 for the first cue."""
    if not cues:
        return 0.0
    return cues[-1].end_s if math.isfinite(cues[-1].end_s) else cues[-1].start_s


def _no_start(cue: RawCue) -> str:
    return "it has no start" if cue.start_s is None else f"its start is {cue.start_s}"


def _next_start(raw: Sequence[RawCue], starts: Sequence[float | None], number: int) -> float | None:
    """Return the start of the next cue of the same channel that starts later."""
    start = starts[number]
    if start is None:
        return None
    for later in range(number + 1, len(raw)):
        value = starts[later]
        if value is not None and value > start and raw[later].channel == raw[number].channel:
            return value
    return None
