"""emo-predict --transcript: the timeline of a call as a table, JSON, CSV or plot."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from emo_runtime.cli.common import Failure, bar, print_json
from emo_runtime.plot import clock, plot_timeline, who
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.text.transcripts import Cue, Markup, read_transcript
from emo_runtime.timeline import Moment


@dataclass(frozen=True)
class Inputs:
    """The recording, its transcripts, and how to read them."""

    audio: str
    transcripts: Sequence[str]
    encoding: str | None
    markup: Markup


@dataclass(frozen=True)
class Outputs:
    """Files to write besides the table (CSV, PNG), and JSON instead of the table."""

    csv_path: str | None
    plot_path: str | None
    as_json: bool


def predict_timeline(recognizer: EmotionRecognizer, inputs: Inputs, outputs: Outputs) -> None:
    """Answer every cue from its part of the recording, and print the timeline."""
    cues = _read_cues(inputs)
    with click.progressbar(
        recognizer.timeline(inputs.audio, cues),
        length=len(cues),
        label="recognizing",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as progress:
        moments = list(progress)
    if outputs.csv_path:
        _write_csv(outputs.csv_path, moments, recognizer.labels)
    if outputs.plot_path:
        plot_timeline(outputs.plot_path, moments, recognizer.labels, Path(inputs.audio).name)
    if outputs.as_json:
        print_json(
            {"audio": inputs.audio, "moments": [moment_to_dict(moment) for moment in moments]}
        )
    else:
        click.echo(_table(moments))
    if failed := sum(moment.answer is None for moment in moments):
        raise Failure(f"{failed} of {len(moments)} cues failed: see their errors above.")


def _read_cues(inputs: Inputs) -> list[Cue]:
    """Return the cues by start time; each of several transcripts belongs to one channel."""
    several = len(inputs.transcripts) > 1
    cues = [
        cue
        for channel, transcript in enumerate(inputs.transcripts)
        for cue in read_transcript(
            transcript,
            channel if several else None,
            encoding=inputs.encoding,
            markup=inputs.markup,
        )
    ]
    return sorted(cues, key=lambda cue: cue.start_s) if several else cues


def moment_to_dict(moment: Moment) -> dict[str, Any]:
    """Return a moment as plain values: the cue, then the answer or the error."""
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
    """Return a line for each moment: time, speaker, label, confidence, words."""
    lines = []
    for moment in moments:
        cue, answer = moment.cue, moment.answer
        what = f"{'-':<9} {moment.error}"
        if answer is not None:
            share = f"{bar(answer.confidence, 10)} {answer.confidence:4.0%}"
            what = f"{answer.label:<9} {share}  {cue.text}"
        lines.append(f"{clock(cue.start_s)}  {who(cue):<10.10}  {what}")
    return "\n".join(lines)


def _write_csv(path: str, moments: Sequence[Moment], labels: Sequence[str]) -> None:
    """Write one row for each moment, with a column for each label's score."""
    columns = ["start_s", "end_s", "channel", "speaker", "text", "label", "confidence"]
    with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, *labels, "error"])
        for moment in moments:
            values = moment_to_dict(moment)
            scores = values.get("scores", {})
            row = [values.get(column, "") for column in columns]
            row += [scores.get(label, "") for label in labels]
            writer.writerow([*row, values.get("error", "")])
