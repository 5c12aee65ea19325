"""emo-predict --input: one JSON line for each row of a table, or a table of probabilities."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from emo_runtime.bundle.manifest import TaskName
from emo_runtime.cli.common import Failure, print_json
from emo_runtime.cli.predict_scores import write_scores
from emo_runtime.errors import EmoError
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.result import Answer, Utterance
from emo_runtime.rows import Row, RowError, RowFormat, count_rows, open_rows


def predict_rows(
    recognizer: EmotionRecognizer,
    source: str,
    layout: RowFormat,
    task: TaskName | None,
    scores_path: str | None,
) -> None:
    """Print one JSON line for each row, or write a table of probabilities to ``scores_path``."""
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
