"""emo-predict: the emotion of one utterance, or of each row of a file."""

import itertools
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from emo_runtime.bundle.manifest import Precision, TaskName
from emo_runtime.cli.common import (
    Command,
    Failure,
    bar,
    bundle_options,
    print_json,
    refuse_options,
)
from emo_runtime.cli.predict_ray import predict_on_ray
from emo_runtime.cli.predict_scores import write_scores
from emo_runtime.cli.predict_timeline import Inputs, Outputs, predict_timeline
from emo_runtime.errors import EmoError
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.result import Answer, Utterance
from emo_runtime.rows import Format, Row, RowError, RowFormat, count_rows, open_rows
from emo_runtime.text.transcripts import Markup

_STEPS = {
    "mfcc": "front end",
    "speech": "speech graph",
    "text": "text graph",
    "fusion": "fusion graph",
}


@click.command(cls=Command)
@click.option("--text", help="Transcript.")
@click.option("--audio", type=click.Path(), help="Sound file: WAV, FLAC, OGG, Opus or MP3.")
@click.option(
    "--input",
    "source",
    help="CSV or JSON Lines with the columns text, audio, speaker; - for standard input.",
)
@click.option("--format", "wanted", type=click.Choice(["csv", "jsonl"]), help="Format of --input.")
@click.option(
    "--delimiter", help="Delimiter of a CSV --input: one character or 'tab'. Default: detected."
)
@click.option(
    "--encoding", help="Encoding of --input and --transcript, such as cp1252. Default: detected."
)
@click.option("--text-column", default="text", help="Column of the transcript. Default: text.")
@click.option("--audio-column", default="audio", help="Column of the sound file. Default: audio.")
@click.option(
    "--transcript",
    "transcripts",
    multiple=True,
    type=click.Path(),
    help="Transcript of --audio: .vtt, .srt, .json, .jsonl or .tsv. Repeat: one per channel.",
)
@click.option(
    "--keep",
    multiple=True,
    type=click.Choice(["tags", "sounds", "speakers"]),
    help="Keep tags and entities, sound descriptions or speaker prefixes of --transcript.",
)
@click.option(
    "--csv", "csv_path", type=click.Path(), help="With --transcript: also write a CSV file."
)
@click.option(
    "--plot", "plot_path", type=click.Path(), help="With --transcript: also write a plot (PNG)."
)
@click.option(
    "--scores",
    "scores_path",
    type=click.Path(),
    help="With --input: write a CSV table with the input's columns and score_LABEL instead.",
)
@click.option("--task", type=click.Choice(["text", "fusion", "audio"]), help="Task to run.")
@click.option(
    "--ray", "on_ray", is_flag=True, help="Answer --input (also Parquet or a folder) with Ray."
)
@click.option("--output", help="With --ray: folder for Parquet files, or its URI.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="With --ray: number of workers. Default: one per core.",
)
@click.option(
    "--bundle",
    type=click.Path(),
    help="Directory or installed name of a bundle.  [default: emo-es]",
)
@click.option(
    "--min-confidence",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Mark answers with a lower confidence as uncertain.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@bundle_options
@click.version_option(package_name="emo-runtime")
def main(
    *,
    text: str | None,
    audio: str | None,
    source: str | None,
    wanted: Format | None,
    delimiter: str | None,
    encoding: str | None,
    text_column: str,
    audio_column: str,
    transcripts: tuple[str, ...],
    keep: tuple[str, ...],
    csv_path: str | None,
    plot_path: str | None,
    scores_path: str | None,
    task: TaskName | None,
    on_ray: bool,
    output: str | None,
    workers: int | None,
    bundle: str | None,
    min_confidence: float,
    as_json: bool,
    provider: str,
    fallback: bool,
    threads: int | None,
    variant: Precision | None,
) -> None:
    """Recognize the emotion of an utterance from its text, its sound, or both.

    With --input, one JSON line is printed for each row. A row that fails gives a line with the key
    'error', and the exit code is 1. With --transcript, each cue is answered with its part of the
    sound. With --ray, rows are answered by several processes, or by the cluster at RAY_ADDRESS; a
    job that was stopped is resumed.
    """
    single = text is not None or audio is not None
    if single == (source is not None):
        raise click.UsageError("give --text and/or --audio for one utterance, or --input FILE.")
    if transcripts and (audio is None or text is not None or task is not None):
        raise click.UsageError("--transcript requires --audio, without --text and --task.")
    if (csv_path or plot_path) and not transcripts:
        raise click.UsageError("--csv and --plot require --transcript.")
    if on_ray != (output is not None) or (on_ray and source in {None, "-"}):
        raise click.UsageError("--ray and --output FOLDER require each other, and --input FILE.")
    table_options = ("wanted", "delimiter", "text_column", "audio_column", "scores_path")
    if source is None:
        refuse_options("requires --input.", *table_options)
    if not transcripts:
        refuse_options("requires --transcript.", "keep")
        if source is None:
            refuse_options("requires --input or --transcript.", "encoding")
    if on_ray:
        refuse_options(
            "can't be used with --ray.", "threads", "as_json", "encoding", *table_options
        )
        opening = {"providers": provider, "fallback": fallback, "variant": variant}
        predict_on_ray(
            str(source), str(output), bundle=bundle, task=task, workers=workers, opening=opening
        )
        return
    refuse_options("requires --ray.", "workers")
    tasks = [task] if task else _tasks_of(text, audio) if single and not transcripts else None
    with EmotionRecognizer.open(
        bundle,
        providers=provider,
        fallback=fallback,
        threads=threads,
        variant=variant,
        tasks=tasks,
        min_confidence=min_confidence,
    ) as recognizer:
        if source is not None:
            layout = RowFormat(wanted, delimiter, encoding, text_column, audio_column)
            _predict_rows(recognizer, source, layout, task, scores_path)
            return
        if transcripts:
            predict_timeline(
                recognizer,
                Inputs(str(audio), transcripts, encoding, _markup(keep)),
                Outputs(csv_path, plot_path, as_json),
            )
            return
        answer = recognizer.recognize(text, audio, task=task)
    if as_json:
        print_json(answer.to_dict())
    else:
        click.echo(_format_text(answer))


def _markup(keep: Collection[str]) -> Markup:
    return Markup("tags" in keep, "sounds" in keep, "speakers" in keep)


def _tasks_of(text: str | None, audio: str | None) -> list[TaskName]:
    return ["text" if audio is None else "audio" if text is None else "fusion"]


def _format_text(answer: Answer) -> str:
    inputs = [f"{answer.tokens} tokens"] if answer.tokens else []
    inputs += [f"{answer.duration_s:.1f} s of sound"] if answer.duration_s else []
    share = f"{answer.confidence:.0%}{', uncertain' if answer.uncertain else ''}"
    width = max(map(len, answer.scores))
    steps = answer.timings.by_step().items()
    lines = [
        f"{answer.label} ({share})   task {answer.task}: {', '.join(inputs)}",
        "",
        *(f"  {name:<{width}}  {bar(score)}  {score:.3f}" for name, score in answer.scores.items()),
        "",
        "  " + "   ".join(f"{_STEPS.get(name, name)} {ms:.2f} ms" for name, ms in steps if ms),
        *(f"  note: {note}" for note in answer.notes),
    ]
    return "\n".join(lines)


def _predict_rows(
    recognizer: EmotionRecognizer,
    source: str,
    layout: RowFormat,
    task: TaskName | None,
    scores_path: str | None,
) -> None:
    length = count_rows(source, layout) if sys.stderr.isatty() else None
    failed = total = 0
    with (
        open_rows(source, layout, task) as rows,
        click.progressbar(
            _answers(recognizer, rows),
            length=length,
            label="recognizing",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as progress,
    ):
        if scores_path is not None:
            path = Path(scores_path)
            count = write_scores(path, recognizer.labels, progress, layout.audio)
            click.echo(f"wrote {path}: {count} rows")
            return
        for row, answer in progress:
            total += 1
            failed += isinstance(answer, EmoError)
            print_json(_line(row, answer))
    if failed:
        raise Failure(f"{failed} of {total} rows failed: their lines have the key 'error'.")


def _answers(
    recognizer: EmotionRecognizer, rows: Iterable[Row]
) -> Iterator[tuple[Row, Answer | EmoError]]:
    """Yield rows with their answers or errors, in order; bad rows are not answered."""
    # `good` is read ahead of the answers; `ahead` queues the rows that still have none.
    ahead: list[Row] = []

    def good() -> Iterator[Utterance]:
        for row in rows:
            ahead.append(row)
            if not isinstance(row.utterance, RowError):
                yield row.utterance

    answers = recognizer.recognize_each(good())
    for answer in itertools.chain(answers, [None]):
        while ahead:
            row = ahead.pop(0)
            if isinstance(row.utterance, RowError):
                yield row, row.utterance
            elif answer is not None:
                yield row, answer
                break


def _line(row: Row, answer: Answer | EmoError) -> dict[str, Any]:
    head: dict[str, Any] = {"row": row.number}
    if row.id is not None:
        head["id"] = row.id
    if isinstance(answer, EmoError):
        return head | {"error": str(answer), "kind": type(answer).__name__}
    return head | answer.to_dict()


if __name__ == "__main__":
    main()
