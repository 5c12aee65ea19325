"""Last step: write the files of an export atomically.

Everything is written into a temporary sibling directory and flushed to disk; one rename then gives
it the final name. Where the system supports it (Linux's ``renameat2``), an old export is exchanged
with the new one atomically, so that a complete export has the name at any time.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from emo_export.packaging.opening import check_bundle
from emo_export.packaging.target import check_target
from emo_models.atomic import sync
from emo_runtime.errors import EmoError

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_PREFIX, _SUFFIX = ".", ".emo-export"


def package(
    files: Mapping[str, bytes],
    directory: Path,
    *,
    force: bool,
    check: Callable[[Path], None] = check_bundle,
) -> None:
    """Write files by their relative paths (``manifest.json`` among them) as ``directory``.

    ``check`` tests the files before they get their final name. On an error the previous contents
    are unchanged.

    Raises:
        EmoError: an export exists and ``force`` is not given, or ``check`` or writing fails.
    """
    check_target(directory, force=force)
    target = directory.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(target)
        temporary = Path(tempfile.mkdtemp(_SUFFIX, f"{_PREFIX}{target.name}.", target.parent))
    except OSError as error:
        raise _refused(directory, error) from error
    try:
        _write(files, temporary)
        _refuse_faults(temporary, check)
        _replace(temporary, target)
        sync(target.parent)
    except OSError as error:
        raise _refused(directory, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refused(directory: Path, error: OSError) -> EmoError:
    return EmoError(
        f"{directory}: can't be written: {error.strerror or error}. Its previous contents are "
        "unchanged. Free the disk, or give another --output."
    )


def _write(files: Mapping[str, bytes], directory: Path) -> None:
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    for folder in (directory, *(path for path in directory.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
        sync(folder)


def _refuse_faults(directory: Path, check: Callable[[Path], None]) -> None:
    try:
        check(directory)
    except EmoError as error:
        raise EmoError(f"the runtime refuses the exported files: {error}") from error


def _replace(temporary: Path, target: Path) -> None:
    """Give ``temporary`` the final name; an old export gets the temporary name, to be removed."""
    if not target.exists() or not any(target.iterdir()):
        temporary.replace(target)
    elif not _exchange(temporary, target):
        # Two renames: between them neither has the name, but the old export is still complete.
        aside = temporary.with_name(f"{temporary.name}.old")
        target.rename(aside)
        try:
            temporary.rename(target)
        except OSError:
            aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two directories atomically; False if the system or file system can't."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "renameat2"):
        return False
    result = library.renameat2(
        _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE
    )
    if result == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(code, os.strerror(code))


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary directories that killed exports to this target left."""
    for path in target.parent.glob(f"{_PREFIX}{target.name}.*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
