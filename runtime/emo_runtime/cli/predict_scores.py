"""Write the label probabilities of rows as a table, which emo-train reads as soft labels."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from emo_runtime.cli.common import Failure
from emo_runtime.errors import EmoError
from emo_runtime.result import Answer
from emo_runtime.rows import Row

_PREFIX = "score_"


def write_scores(
    path: Path, labels: Sequence[str], answers: Iterable[tuple[Row, Answer | EmoError]], audio: str
) -> int:
    """Write a CSV table: the columns of the input and ``score_LABEL`` for each label.

    A row without one of the columns has an empty cell. Paths in the column ``audio`` become
    absolute. The table replaces an existing file when it is complete.

    Returns:
        The number of rows in the table.

    Raises:
        Failure: rows failed; they are left out of the table.
        EmoError: the file can't be written.
    """
    own = [f"{_PREFIX}{label}" for label in labels]
    rows, failed = [], []
    for row, answer in answers:
        if isinstance(answer, EmoError):
            failed.append(f"row {row.number}: {answer}")
            continue
        record = dict(row.record)
        if record.get(audio) is not None and not isinstance(row.utterance, EmoError):
            record[audio] = os.path.abspath(str(row.utterance.audio))  # noqa: PTH100
        scores = [f"{answer.scores[label]:.6f}" for label in labels]
        rows.append(record | dict(zip(own, scores, strict=True)))
    names = dict.fromkeys(name for record in rows for name in record)
    columns = [*(name for name in names if name not in own), *own]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)
    except OSError as error:
        raise EmoError(f"{path}: can't be written: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    if failed:
        raise Failure(
            f"{len(failed)} of {len(failed) + len(rows)} rows failed and are not in {path}. The "
            f"first: {failed[0]}"
        )
    return len(rows)
