"""emo-predict: the emotion of one utterance, or of each row of a file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from emo_runtime.bundle.manifest import Precision, TaskName
from emo_runtime.cli.answer_text import format_answer
from emo_runtime.cli.common import (
    Command,
    bundle_argument,
    bundle_options,
    examples,
    print_json,
    refuse_options,
)
from emo_runtime.cli.predict_ray import predict_on_ray
from emo_runtime.cli.predict_rows import predict_rows
from emo_runtime.cli.predict_timeline import Inputs, Outputs, predict_timeline
from emo_runtime.cli.predict_watch import (
    WATCH_ONLY,
    WatchOptions,
    predict_watch,
    watch_options,
)
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.rows import Format, RowFormat
from emo_runtime.text.transcripts import Markup

# Options about the table of --input.
_OF_TABLES = ("wanted", "delimiter", "text_column", "audio_column", "scores_path")


@click.command(
    cls=Command,
    epilog=examples(
        'emo-predict --text "Qué alegría verte."',
        'emo-predict --audio call.wav --text "No puedo más." --json',
        "emo-predict --input calls.csv > answers.jsonl",
        "emo-predict --audio call.flac --transcript customer.vtt --transcript agent.vtt",
        "emo-predict --watch recordings --output answers.jsonl",
    ),
)
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
@watch_options
@click.option(
    "--ray", "on_ray", is_flag=True, help="Answer --input (also Parquet or a folder) with Ray."
)
@click.option(
    "--output",
    help="With --ray: folder for Parquet files, or its URI. With --watch: JSON Lines file to "
    "append to; files that it has an answer for are not answered again.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="With --ray: number of workers. Default: one per core.",
)
@bundle_argument
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
    watch: Path | None,
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
    **watching: Any,
) -> None:
    """Recognize the emotion of an utterance from its text, its sound, or both.

    With --input, one JSON line is printed for each row. A row that fails gives a line with the key
    'error', and the exit code is 1. With --transcript, each cue is answered with its part of the
    sound. With --watch, a transcript of the same stem (.txt, .vtt, .srt, .json, .jsonl, .tsv) is
    used. With --ray, rows are answered by several processes, or by the cluster at RAY_ADDRESS; a
    job that was stopped is resumed.
    """
    _check_usage(click.get_current_context().params)
    if on_ray:
        opening = {"providers": provider, "fallback": fallback, "variant": variant}
        predict_on_ray(
            str(source), str(output), bundle=bundle, task=task, workers=workers, opening=opening
        )
        return
    single = source is None and watch is None and not transcripts
    tasks = [task] if task else _tasks_of(text, audio) if single else None
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
            predict_rows(recognizer, source, layout, task, scores_path)
            return
        if watch is not None:
            predict_watch(
                recognizer,
                WatchOptions(
                    folder=watch,
                    output=None if output is None else Path(output),
                    task=task,
                    encoding=encoding,
                    markup=_markup(keep),
                    **watching,
                ),
            )
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
        click.echo(format_answer(answer))


def _check_usage(given: dict[str, Any]) -> None:
    """Raise UsageError for options that are missing or don't go together."""
    text, audio, transcripts = given["text"], given["audio"], given["transcripts"]
    source, watch = given["source"], given["watch"]
    single = text is not None or audio is not None
    if single + (source is not None) + (watch is not None) != 1:
        raise click.UsageError(
            "give --text and/or --audio for one utterance, --input FILE, or --watch FOLDER."
        )
    if transcripts and (audio is None or text is not None or given["task"] is not None):
        raise click.UsageError("--transcript requires --audio, without --text and --task.")
    if (given["csv_path"] or given["plot_path"]) and not transcripts:
        raise click.UsageError("--csv and --plot require --transcript.")
    _check_ray(given)
    if source is None:
        refuse_options("requires --input.", *_OF_TABLES)
    if watch is None:
        refuse_options("requires --watch.", *WATCH_ONLY)
    if not transcripts and watch is None:
        refuse_options("requires --transcript.", "keep")
        if source is None:
            refuse_options("requires --input, --transcript or --watch.", "encoding")


def _check_ray(given: dict[str, Any]) -> None:
    on_ray, output, source = given["on_ray"], given["output"], given["source"]
    if on_ray:
        if output is None or source in {None, "-"}:
            raise click.UsageError("--ray requires --output FOLDER and --input FILE.")
        refuse_options("can't be used with --ray.", "threads", "as_json", "encoding", *_OF_TABLES)
        return
    refuse_options("requires --ray.", "workers")
    if output is not None and given["watch"] is None:
        raise click.UsageError("--output requires --ray, with --input FILE, or --watch FOLDER.")


def _markup(keep: Collection[str]) -> Markup:
    return Markup("tags" in keep, "sounds" in keep, "speakers" in keep)


def _tasks_of(text: str | None, audio: str | None) -> list[TaskName]:
    return ["text" if audio is None else "audio" if text is None else "fusion"]


if __name__ == "__main__":
    main()
