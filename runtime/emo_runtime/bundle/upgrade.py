"""Rewrite a bundle with a manifest of the current schema."""

import os
import shutil
from pathlib import Path

from emo_runtime.bundle.manifest import MANIFEST_NAME, encode_manifest
from emo_runtime.bundle.reader import Bundle, open_bundle
from emo_runtime.errors import BundleError


def upgrade_bundle(bundle: Bundle, output: Path) -> Path:
    """Write ``bundle`` with a manifest of the current schema to the new directory ``output``.

    The directory is renamed to ``output`` once it is complete and verified.

    Raises:
        BundleError: ``output`` exists, or a file of the bundle is damaged.
    """
    target = output.absolute()
    if target.exists():
        raise BundleError(f"{output}: already exists. Give the name of a new directory.")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        temporary.mkdir(parents=True)
        for file in bundle.manifest.files():
            with bundle.verified(file) as verified:
                (temporary / file.file).write_bytes(verified.data)
        (temporary / MANIFEST_NAME).write_bytes(encode_manifest(bundle.manifest))
        open_bundle(temporary).verify()
        temporary.rename(target)
    except OSError as error:
        raise BundleError(f"{output}: can't be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output
