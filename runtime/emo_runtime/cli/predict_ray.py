"""emo-predict --ray: the rows of a file, spread over processes and machines."""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import click

from emo_runtime.bundle.manifest import TaskName
from emo_runtime.cli.common import Failure, require_extra
from emo_runtime.errors import MissingExtraError


def predict_on_ray(
    source: str,
    output: str,
    *,
    bundle: str | None,
    task: TaskName | None,
    workers: int | None,
    opening: Mapping[str, Any],
) -> None:
    """Write the answers to the rows of ``source`` to Parquet files in ``output``.

    ``opening`` has further arguments of ``EmotionRecognizer.open``. Raises EmoError, and Failure if
    rows failed.
    """
    require_extra("ray", "ray", "pyarrow")
    total, failed = _job()(
        source, output, bundle=bundle, task=task, workers=workers, opening=opening
    )
    click.echo(f"Wrote {total} rows to {output}.", err=True)
    if failed:
        raise Failure(f"{failed} of {total} rows failed: see their column 'error'.")


def _job() -> Any:
    """Return the batch job, found by entry point: the runtime does not import the server."""
    for entry in importlib.metadata.entry_points(group="emo_runtime.batch_jobs", name="ray"):
        return entry.load()
    raise MissingExtraError('--ray needs the batch job: pip install "emo-runtime[ray]"')
