"""emo-predict --transcript: the course of a call as a table, JSON, CSV or plot."""

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
from emo_runtime.text.transcripts import Cue, read_transcript
from emo_runtime.timeline import Moment


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
        plot_timeline(outputs.plot_path, moments, recognizer.labels, Path(audio).name)
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
        lines.append(f"{clock(cue.start_s)}  {who(cue):<10.10}  {what}")
    return "\n".join(lines)


def _write_csv(path: str, moments: Sequence[Moment], labels: Sequence[str]) -> None:
    """One row for each moment; the scores in columns of the labels' names."""
    columns = ["start_s", "end_s", "channel", "speaker", "text", "label", "confidence"]
    with Path(path).open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream:
        writer = csv.writer(stream)
        writer.writerow([*columns, *labels, "error"])
        for moment in moments:
            values = _to_dict(moment)
            scores = values.get("scores", {})
            row = [values.get(column, "") for column in columns]
            row += [scores.get(label, "") for label in labels]
            writer.writerow([*row, values.get("error", "")])
