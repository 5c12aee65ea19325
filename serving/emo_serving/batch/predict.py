"""Recordings by the thousand, as emo-predict --ray asks for them."""

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
    """Answer all rows of ``source`` into Parquet files in ``output``: how many, how many failed.

    Rows that an earlier run has written to ``output`` are not done again. Raises EmoError.
    """
    with local_bundle(bundle) as directory:
        open_bundle(directory)
    with cluster() as cores:
        from emo_serving.batch.job import run  # noqa: PLC0415  (after the cluster's variables)

        return run(source, output, workers or cores, (from_anywhere(bundle), task, dict(opening)))
