"""Check of the output directory of an export."""

from pathlib import Path

from emo_runtime.bundle.manifest import MANIFEST_NAME
from emo_runtime.errors import EmoError


def check_target(directory: Path, *, force: bool) -> None:
    """Raise EmoError if ``directory`` can't be the output."""
    if not directory.exists() and not directory.is_symlink():
        return
    if directory.is_symlink() or not directory.is_dir():
        raise EmoError(f"{directory}: not a directory. Give another --output.")
    if not any(directory.iterdir()):
        return
    if not (directory / MANIFEST_NAME).is_file():
        raise EmoError(
            f"{directory}: contains other files than an export, which are never replaced. Give "
            "another --output."
        )
    if not force:
        raise EmoError(f"{directory}: already holds an export. --force replaces it.")
