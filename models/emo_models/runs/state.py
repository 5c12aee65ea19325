"""Resumable state of a run: its identity check, and its removal at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emo_models.atomic import atomic_text
from emo_models.data.corpora import Row
from emo_models.errors import DataError

IDENTITY = "state.json"
STATES = "state*.pt"


def begin_run(
    output: Path, identity: Mapping[str, Any], on_ready: Callable[[], None]
) -> dict[str, Any]:
    """Refuse to resume the state of another run, then record the identity of this run.

    Args:
        output: directory of the run.
        identity: options, labels, hashes of rows and encoder, as plain values.
        on_ready: called after the check and before anything is written.

    Returns:
        The identity as JSON values, which a resumable state can hold (paths become strings).

    Raises:
        DataError: ``output`` has the state of a run with another identity; names what differs.
    """
    path = output / IDENTITY
    wanted = json.loads(json.dumps(identity, default=str))
    if any(output.glob(STATES)):
        saved = _read(path)
        if different := _different(saved, wanted):
            raise DataError(
                f"{output}: holds the unfinished state of a run with another {different}. Give "
                f"another --output, or remove {STATES} there to start again."
            )
    output.mkdir(parents=True, exist_ok=True)
    on_ready()
    atomic_text(path, json.dumps(wanted, indent=1, ensure_ascii=False) + "\n")
    return dict(wanted)


def finish_run(output: Path) -> None:
    """Remove the resumable state of a run after its checkpoint is written."""
    for path in (*output.glob(STATES), output / IDENTITY):
        path.unlink(missing_ok=True)


def rows_sha256(rows: Sequence[Row]) -> str:
    """Return a hash of ids, labels, scores, transcripts and sound files of rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        values = (row.id, row.label, row.scores, row.text, str(row.audio or ""))
        digest.update(repr(values).encode())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _different(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return the keys that differ, with each option of ``options`` as its own key."""
    names = []
    for key in sorted({*saved, *wanted}):
        one, other = saved.get(key), wanted.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [n for n in sorted({*one, *other}) if one.get(n) != other.get(n)]
        elif one != other:
            names.append(key)
    return ", ".join(names)
