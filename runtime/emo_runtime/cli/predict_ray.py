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
    """Answer the rows of ``source`` into Parquet files; ``opening`` goes to ``open``.

    Raises EmoError; Failure where rows failed.
    """
    require_extra("ray", "ray", "pyarrow")
    total, failed = _job()(
        source, output, bundle=bundle, task=task, workers=workers, opening=opening
    )
    click.echo(f"{total} rows are in {output}.", err=True)
    if failed:
        raise Failure(f"{failed} of {total} rows failed: their column 'error' says why.")


def _job() -> Any:
    """Serving's job: found by name, since the runtime imports nothing of it."""
    for entry in importlib.metadata.entry_points(group="emo_runtime.batch_jobs", name="ray"):
        return entry.load()
    raise MissingExtraError('--ray needs the job: pip install "emo-runtime[ray]"')
