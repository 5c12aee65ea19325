"""emo-predict --watch: answer the sound files of a folder as they arrive."""

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from emo_runtime.bundle.manifest import TaskName
from emo_runtime.cli.common import Failure, print_json
from emo_runtime.cli.predict_timeline import moment_to_dict
from emo_runtime.errors import EmoError, TextError
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.text.transcripts import Markup, read_transcript
from emo_runtime.watch import AnsweredFiles, FolderWatch, Found, Version, head

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _seconds(option: str, name: str, text: str, default: float, least: float = 0) -> Any:
    """Return an option of ``--watch`` whose value is a number of seconds."""
    return click.option(
        option,
        name,
        type=click.FloatRange(least),
        default=default,
        show_default=True,
        help=f"With --watch: seconds {text}.",
    )


# Parameters that make sense with --watch only.
WATCH_ONLY = ("once", "settle_s", "poll_s", "transcript_s")
_OPTIONS = [
    click.option(
        "--watch",
        type=click.Path(path_type=Path),
        help="Answer the sound files of this folder as they arrive, one JSON line each.",
    ),
    click.option("--once", is_flag=True, help="With --watch: end when all files are answered."),
    _seconds("--settle", "settle_s", "without a change after which a file is complete", 2.0),
    _seconds("--poll", "poll_s", "between polls of the folder", 1.0, least=0.01),
    _seconds(
        "--wait-transcript", "transcript_s", "that a sound file waits for its transcript", 0.0
    ),
]

# A transcript of one utterance in plain text. The runtime cuts the text much earlier.
_MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True)
class WatchOptions:
    """What to watch, and how files are answered."""

    folder: Path
    output: Path | None
    once: bool
    poll_s: float
    settle_s: float
    transcript_s: float
    task: TaskName | None
    encoding: str | None
    markup: Markup


def watch_options(function: _Function) -> _Function:
    """Add the options of ``--watch``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def predict_watch(recognizer: EmotionRecognizer, options: WatchOptions) -> None:
    """Answer each complete sound file below the folder once, until interrupted (or ``once``)."""
    watch = FolderWatch(
        options.folder, settle_s=options.settle_s, transcript_s=options.transcript_s
    )
    with contextlib.ExitStack() as stack:
        is_done, add = _record(options.output, stack)
        click.echo(f"watching {options.folder}; Ctrl-C ends.", err=True)
        failed = total = 0
        while True:
            for found in watch.poll(is_done):
                document = _answer(recognizer, found, options)
                if document is not None:
                    add(found, document)
                    total += 1
                    failed += _has_error(document)
            if options.once and watch.idle:
                break
            time.sleep(options.poll_s)
    if failed:
        raise Failure(f"{failed} of {total} files failed: their lines have the key 'error'.")


def _record(
    output: Path | None, stack: contextlib.ExitStack
) -> tuple[Callable[[str, Version], bool], Callable[[Found, dict[str, Any]], None]]:
    """Return a function that checks if a file was answered, and one that writes an answer."""
    if output is not None:
        record = stack.enter_context(AnsweredFiles(output))
        return record.is_done, record.add
    done: dict[str, Version] = {}

    def add(found: Found, document: dict[str, Any]) -> None:
        print_json(document)
        sys.stdout.flush()
        done[found.name] = found.version

    return lambda name, version: done.get(name) == version, add


def _answer(
    recognizer: EmotionRecognizer, found: Found, options: WatchOptions
) -> dict[str, Any] | None:
    """Return the line of a file; None if the file was removed."""
    line = head(found)
    try:
        if found.transcript is not None and found.transcript.suffix.lower() != ".txt":
            cues = read_transcript(
                found.transcript, encoding=options.encoding, markup=options.markup
            )
            moments = recognizer.timeline(found.path, cues)
            return line | {"moments": [moment_to_dict(moment) for moment in moments]}
        text = None if found.transcript is None else _read_text(found.transcript, options.encoding)
        answer = recognizer.recognize(text, found.path, task=options.task)
    except EmoError as error:
        if not found.path.exists():
            return None
        return line | {"error": str(error), "kind": type(error).__name__}
    return line | answer.to_dict()


def _read_text(path: Path, encoding: str | None) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_TEXT_BYTES)
        return data.decode(encoding or "utf-8-sig").strip()
    except (UnicodeDecodeError, LookupError):
        raise TextError(
            f"{path.name}: not text in {encoding or 'UTF-8'}. Give its --encoding."
        ) from None
    except OSError as error:
        raise TextError(f"{path.name}: can't be read: {error.strerror}.") from None


def _has_error(document: dict[str, Any]) -> bool:
    return "error" in document or any("error" in item for item in document.get("moments", ()))
