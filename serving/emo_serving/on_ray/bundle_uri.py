"""A bundle from wherever pyarrow can read: copied to where it is opened."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyarrow import ArrowException, fs

from emo_runtime import BundleError


def from_anywhere(where: str | None) -> str | None:
    """The same bundle for a process with another working directory."""
    return where if where is None or "://" in where else str(Path(where).absolute())


@contextlib.contextmanager
def local_bundle(where: str | None) -> Iterator[str | None]:
    """The bundle's directory while it is being opened; what was copied for that goes again.

    ``where``: a directory, or a URI (``s3://``, ``gs://``, ``hdfs://``, ``file://``); None is the
    installed default. Opening hashes every file, wherever it came from. Raises BundleError.
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
                "bundle's directory, and see that this machine may read it."
            ) from None
        yield folder


def _without_secret(uri: str) -> str:
    """Without what may be a key: user and password, and the query."""
    return re.sub(r"//.*@", "//", uri.partition("?")[0])
