"""A batch job on Ray Data: recognizes recordings, writes Parquet files, and can be resumed."""

import logging
import sys
from typing import Any

import pyarrow.dataset as ds
import ray
from pyarrow import fs
from ray.data.checkpoint import CheckpointConfig

from emo_runtime import EmoError
from emo_serving.batch.recordings import ROW, Place, Recordings
from emo_serving.batch.worker import BatchWorker
from emo_serving.on_ray.cluster import CPUS

# A stopped job repeats at most this many rows of each worker.
BLOCK_ROWS = 256
# The finished rows. pyarrow ignores names that begin with an underscore.
FINISHED = "_finished"


class BatchError(EmoError):
    """A batch job that can't start, or that failed."""


def run(source: str, output: str, workers: int, how: tuple[Any, ...]) -> tuple[int, int]:
    """Run the job; ``how`` are the first arguments of BatchWorker.

    Returns the numbers of rows and of failed rows. Raises EmoError.
    """
    target = Place.of(output)
    if Place.of(source).holds(target):
        raise BatchError(
            f"{output}: is inside {source}, so the answers would become input. Give a folder "
            "elsewhere."
        )
    recordings = Recordings(source)
    recordings.check()
    _check_output(output, target)
    _set_up(target)
    # Without a number of blocks Ray Data makes two hundred, however small.
    rows = ray.data.read_datasource(recordings, override_num_blocks=1, num_cpus=CPUS)
    blocks = rows.repartition(target_num_rows_per_block=BLOCK_ROWS)
    answers = blocks.map_batches(
        BatchWorker,
        fn_constructor_args=(*how, recordings.filesystem),
        # One worker is enough to begin; the others are added when there is room.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=CPUS,
        batch_size=None,
        batch_format="pyarrow",
    )
    try:
        answers.write_parquet(target.path, filesystem=target.filesystem)
    except ray.exceptions.RayError as error:
        raise BatchError(f"{source}: the job failed: {_reason(error)}") from None
    return _count(target)


def _set_up(target: Place) -> None:
    """Configure Ray Data: it records the finished rows of each file in two phases."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # errors are also raised
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = sys.stderr.isatty()
    context.print_on_execution_start = False
    context.checkpoint_config = CheckpointConfig(
        ROW,
        f"{target.path}/{FINISHED}",
        override_filesystem=target.filesystem,
        delete_checkpoint_on_success=False,
    )


def _check_output(output: str, target: Place) -> None:
    finished = target.filesystem.get_file_info(f"{target.path}/{FINISHED}")
    if finished.type is fs.FileType.NotFound and target.files():
        raise BatchError(
            f"{output}: has files, but no {FINISHED!r} of an earlier run. Give another folder."
        )


def _reason(error: BaseException) -> str:
    """Return the message of a worker's own error if there is one, else all of Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EmoError) and not isinstance(cause, ray.exceptions.RayError):
            return str(cause).partition("\n")[0]  # Ray adds lines about its own options
        cause = getattr(cause, "cause", None) or cause.__cause__
    return str(error)


def _count(target: Place) -> tuple[int, int]:
    written = ds.dataset(target.path, filesystem=target.filesystem, format="parquet")
    failed = ds.field("error").is_valid() if "error" in written.schema.names else None
    return written.count_rows(), written.count_rows(filter=failed) if failed is not None else 0
