"""Plot of a timeline (extra [plot])."""

import os
from collections.abc import Sequence
from typing import Any

from emo_runtime.errors import MissingExtraError, TextError
from emo_runtime.text.transcripts import Cue
from emo_runtime.timeline import Moment

MAX_SPEAKERS = 32
# The colour-blind-safe palette of Okabe and Ito.
_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#7F7F7F", "#0072B2", "#56B4E9", "#F0E442")


def plot_timeline(
    path: str | os.PathLike[str], moments: Sequence[Moment], labels: Sequence[str], title: str
) -> None:
    """Write a PNG: one panel per speaker, one band per label; darker means more probable.

    Raises MissingExtraError without matplotlib, and TextError if there are too many speakers.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            'a plot needs matplotlib: pip install "emo-runtime[plot]"'
        ) from None
    speakers = list(dict.fromkeys(who(moment.cue) for moment in moments)) or [""]
    if len(speakers) > MAX_SPEAKERS:
        raise TextError(
            f"{len(speakers):,} speakers, at most {MAX_SPEAKERS} can be drawn. Correct the names."
        )
    figure = Figure(figsize=(12, 1.0 + 2.2 * len(speakers)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(speakers), 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(_printable(title), parse_math=False)
    end_s = max((moment.cue.end_s for moment in moments), default=1.0)
    for panel, speaker in zip(panels, speakers, strict=True):
        _bands(panel, [m for m in moments if who(m.cue) == speaker], labels)
        panel.set(xlim=(0, end_s), ylim=(len(labels) - 0.5, -0.5))
        panel.set_title(_printable(speaker), fontsize=10, parse_math=False)
        panel.set_yticks(range(len(labels)), [*map(_printable, labels)], parse_math=False)
        panel.xaxis.set_major_formatter(lambda seconds, _: clock(seconds)[:-2])
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[-1].set_xlabel("time (min:s)")
    figure.savefig(path, dpi=130, format="png")


def _bands(panel: Any, moments: Sequence[Moment], labels: Sequence[str]) -> None:
    for moment in moments:
        if moment.answer is None:
            continue
        span = (moment.cue.start_s, moment.cue.end_s - moment.cue.start_s)
        for place, label in enumerate(labels):
            score = moment.answer.scores[label]
            edge = "black" if label == moment.answer.label else "none"
            panel.broken_barh(
                [span],
                (place - 0.42, 0.84),
                facecolor=(_COLOURS[place % len(_COLOURS)], 0.08 + 0.92 * score),
                edgecolor=edge,
                linewidth=0.8,
            )


def _printable(text: str) -> str:
    """Return text that can be drawn: lone surrogates escaped, at most 200 characters."""
    return text.encode("utf-8", "backslashreplace").decode()[:200]


def who(cue: Cue) -> str:
    """Return the cue's speaker, else its channel, else an empty string."""
    if cue.speaker is not None:
        return cue.speaker
    return "" if cue.channel is None else f"channel {cue.channel}"


def clock(seconds: float) -> str:
    """Return minutes and seconds with one decimal."""
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"
