"""Batch prediction on Ray, for emo-predict --ray."""

from collections.abc import Mapping
from typing import Any

from emo_runtime.bundle.manifest import TaskName
from emo_runtime.bundle.reader import open_bundle
from emo_serving.on_ray.bundle_uri import from_anywhere, local_bundle
from emo_serving.on_ray.cluster import cluster


def predict_recordings(
    source: str,
    output: str,
    *,
    bundle: str | None,
    task: TaskName | None,
    workers: int | None,
    opening: Mapping[str, Any],
) -> tuple[int, int]:
    """Answer all rows of ``source`` into Parquet files in ``output``.

    Rows that an earlier run wrote to ``output`` are not repeated.

    Returns:
        The numbers of rows and of failed rows.

    Raises:
        EmoError: The job can't start, or failed.
    """
    with local_bundle(bundle) as directory:
        open_bundle(directory)
    with cluster() as cores:
        from emo_serving.batch.job import run  # noqa: PLC0415  (after the cluster's variables)

        return run(source, output, workers or cores, (from_anywhere(bundle), task, dict(opening)))
