"""Bundles at URIs that pyarrow can read: copied to a temporary directory to be opened."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyarrow import ArrowException, fs

from emo_runtime import BundleError


def from_anywhere(where: str | None) -> str | None:
    """Return a path or URI that is valid in another working directory."""
    return where if where is None or "://" in where else str(Path(where).absolute())


@contextlib.contextmanager
def local_bundle(where: str | None) -> Iterator[str | None]:
    """Yield the bundle's directory; a copy is removed at the end of the block.

    Opening verifies the hash of every file, whatever its source.

    Args:
        where: A directory, or a URI (``s3://``, ``gs://``, ``hdfs://``, ``file://``); None is the
            installed default.

    Raises:
        BundleError: The bundle can't be copied.
    """
    if where is None or "://" not in where:
        yield where
        return
    with tempfile.TemporaryDirectory(prefix="emo-bundle-") as folder:
        try:
            fs.copy_files(where, folder)
        except (OSError, ArrowException) as error:
            shown = _without_secret(where)
            raise BundleError(
                f"{shown}: can't be copied: {str(error).replace(where, shown)}. Give the URI of a "
                "bundle's directory that this machine can read."
            ) from None
        yield folder


def _without_secret(uri: str) -> str:
    """Return a URI without user, password and query, which may contain a key."""
    return re.sub(r"//.*@", "//", uri.partition("?")[0])
