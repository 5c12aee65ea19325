"""emo-predict --transcript: the course of a call as a table, JSON, CSV or plot."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from emo_runtime.cli.common import Failure, bar, print_json
from emo_runtime.errors import MissingExtraError
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.timeline import Moment
from emo_runtime.transcripts import Cue, read_transcript

# Okabe and Ito's colours, which colour-blind people tell apart.
_COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#7F7F7F", "#0072B2", "#56B4E9", "#F0E442")


@dataclass(frozen=True)
class Outputs:
    """What comes out beside the table: a CSV, a PNG; JSON instead of it."""

    csv_path: str | None
    plot_path: str | None
    as_json: bool


def predict_timeline(
    recognizer: EmotionRecognizer, audio: str, transcripts: Sequence[str], outputs: Outputs
) -> None:
    """Answer every cue of the transcripts from its slice of the sound, and show the course."""
    cues = _read_cues(transcripts)
    with click.progressbar(
        recognizer.timeline(audio, cues),
        length=len(cues),
        label="recognizing",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as progress:
        moments = list(progress)
    if outputs.csv_path:
        _write_csv(outputs.csv_path, moments, recognizer.labels)
    if outputs.plot_path:
        _plot(outputs.plot_path, moments, recognizer.labels, Path(audio).name)
    if outputs.as_json:
        print_json({"audio": audio, "moments": [_to_dict(moment) for moment in moments]})
    else:
        click.echo(_table(moments))
    if failed := sum(moment.answer is None for moment in moments):
        raise Failure(f"{failed} of {len(moments)} cues failed: the errors stand in their places.")


def _read_cues(transcripts: Sequence[str]) -> list[Cue]:
    """The cues of one transcript; of several, each for the channel of its place, by start."""
    if len(transcripts) == 1:
        return read_transcript(transcripts[0])
    cues = [
        cue
        for channel, transcript in enumerate(transcripts)
        for cue in read_transcript(transcript, channel)
    ]
    return sorted(cues, key=lambda cue: cue.start_s)


def _to_dict(moment: Moment) -> dict[str, Any]:
    """A moment as plain values: the cue, then the answer or the error."""
    cue = moment.cue
    head = {
        "start_s": cue.start_s,
        "end_s": cue.end_s,
        "channel": cue.channel,
        "speaker": cue.speaker,
        "text": cue.text,
    }
    if moment.answer is None:
        return head | {"error": str(moment.error)}
    return head | moment.answer.to_dict()


def _table(moments: Sequence[Moment]) -> str:
    """A line for each moment: time, who, label, confidence, words."""
    lines = []
    for moment in moments:
        cue, answer = moment.cue, moment.answer
        what = f"{'-':<9} {moment.error}"
        if answer is not None:
            share = f"{bar(answer.confidence, 10)} {answer.confidence:4.0%}"
            what = f"{answer.label:<9} {share}  {cue.text}"
        lines.append(f"{_clock(cue.start_s)}  {_who(cue):<10.10}  {what}")
    return "\n".join(lines)


def _write_csv(path: str, moments: Sequence[Moment], labels: Sequence[str]) -> None:
    """One row for each moment; the scores in columns of the labels' names."""
    columns = ["start_s", "end_s", "channel", "speaker", "text", "label", "confidence"]
    with Path(path).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, *labels, "error"])
        for moment in moments:
            values = _to_dict(moment)
            scores = values.get("scores", {})
            row = [values.get(column, "") for column in columns]
            row += [scores.get(label, "") for label in labels]
            writer.writerow([*row, values.get("error", "")])


def _plot(path: str, moments: Sequence[Moment], labels: Sequence[str], title: str) -> None:
    """A PNG: for each speaker six bands over time, the darker the likelier.

    Raises MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            'a plot needs matplotlib: pip install "emo-runtime[plot]"'
        ) from None
    speakers = list(dict.fromkeys(_who(moment.cue) for moment in moments)) or [""]
    figure = Figure(figsize=(12, 1.0 + 2.2 * len(speakers)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(speakers), 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(title)
    end_s = max((moment.cue.end_s for moment in moments), default=1.0)
    for panel, speaker in zip(panels, speakers, strict=True):
        _bands(panel, [m for m in moments if _who(m.cue) == speaker], labels)
        panel.set(title=speaker, xlim=(0, end_s), ylim=(len(labels) - 0.5, -0.5))
        panel.title.set_fontsize(10)
        panel.set_yticks(range(len(labels)), labels)
        panel.xaxis.set_major_formatter(lambda seconds, _: _clock(seconds)[:-2])
        panel.grid(axis="x", alpha=0.3)
        panel.set_axisbelow(True)
    panels[-1].set_xlabel("time (min:s)")
    figure.savefig(path, dpi=130)


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


def _who(cue: Cue) -> str:
    if cue.speaker is not None:
        return cue.speaker
    return "" if cue.channel is None else f"channel {cue.channel}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(seconds, 0.0), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"
