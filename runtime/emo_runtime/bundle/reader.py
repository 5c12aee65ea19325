"""Reader of bundle directories: only bytes that match the manifest's hashes are passed on."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import mmap
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emo_runtime.arguments import did_you_mean
from emo_runtime.bundle.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    SIGNATURE_NAME,
    File,
    Manifest,
)
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.bundle.signature import check_signature
from emo_runtime.errors import BundleError

ENTRY_POINTS = "emo_runtime.bundles"
DEFAULT = "emo-es"
MAX_SMALL_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class VerifiedFile:
    """Bytes whose hash is the manifest's, and the source that ONNX Runtime opens them from."""

    name: str
    data: memoryview
    source: str | bytes


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: Its directory.
        manifest: Its manifest.
        sha256: Hash of the manifest's bytes.
        signed: True if there is a signature. It was verified only if a public key was given.
    """

    path: Path
    manifest: Manifest
    sha256: str
    signed: bool

    @contextlib.contextmanager
    def verified(self, file: File) -> Iterator[VerifiedFile]:
        """Yield the file's bytes after their hash was verified. Raises BundleError.

        On Linux they are copied into a sealed memory file while they are hashed: what ONNX Runtime
        opens can't be replaced, and is in memory only once. Elsewhere they are Python bytes.
        """
        with _open_regular(self.path / file.file, file.file) as descriptor:
            found = os.fstat(descriptor).st_size
            if found != file.bytes:
                raise BundleError(
                    f"{file.file}: {found:,} bytes, expected {file.bytes:,}. {_REMEDY}"
                )
            with contextlib.ExitStack() as stack:
                yield _copy(descriptor, file, stack)

    def read(self, file: File) -> bytes:
        """Return the verified bytes of a small file, not a graph. Raises BundleError."""
        if file.bytes > MAX_SMALL_BYTES:
            raise BundleError(
                f"{file.file}: {file.bytes:,} bytes, at most {MAX_SMALL_BYTES:,} are allowed for a "
                "file that is not a graph. Do not use this bundle."
            )
        with self.verified(file) as verified:
            return bytes(verified.data)

    def verify(self) -> None:
        """Hash every file of the bundle against the manifest. Raises BundleError."""
        for file in self.manifest.files():
            with self.verified(file):
                pass


def open_bundle(
    path: str | os.PathLike[str] | None = None,
    public_key: str | os.PathLike[str] | None = None,
) -> Bundle:
    """Open the directory of a bundle and check the list of its files.

    Args:
        path: The directory, or the name of an installed bundle. None: the installed default
            bundle.
        public_key: PEM file of the ed25519 key that the bundle must be signed with.

    Raises:
        BundleError: The directory or a file is missing, a file is not listed in the manifest, the
            manifest is malformed, or the signature is missing or wrong.
    """
    directory = default_bundle() if path is None else Path(path)
    if isinstance(path, str) and not os.path.isdir(path):  # noqa: PTH112  (see below)
        directory = installed_bundle(path) or directory
    if not os.path.isdir(directory):  # noqa: PTH112  (False for a name that is too long)
        raise BundleError(
            f"{str(directory)[:200]}: no such directory, and no installed bundle of this name "
            f"({_list(installed_names())}).{did_you_mean(str(directory), installed_names())} Give "
            f"the directory of a bundle (with its {MANIFEST_NAME}), or make one with emo-export."
        )
    data = _read_small(directory / MANIFEST_NAME, MAX_MANIFEST_BYTES)
    if public_key is not None:
        check_signature(data, _signature(directory), public_key)
    manifest = parse_manifest(data)
    listed = {file.file for file in manifest.files()} | {MANIFEST_NAME}
    try:
        found = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise BundleError(f"{directory}: can't be listed: {error.strerror}. {_REMEDY}") from None
    if missing := sorted(listed - found):
        raise BundleError(f"{directory}: the file {missing[0]!r} is missing. {_REMEDY}")
    if unlisted := sorted(found - listed - {SIGNATURE_NAME}):
        raise BundleError(
            f"{directory}: the file {unlisted[0]!r} is not listed in {MANIFEST_NAME}. Remove it, "
            "or copy the bundle again."
        )
    sha256 = hashlib.sha256(data).hexdigest()
    return Bundle(directory, manifest, sha256, SIGNATURE_NAME in found)


def default_bundle() -> Path:
    """Return the directory of the installed default bundle. Raises BundleError."""
    directory = installed_bundle(DEFAULT)
    if directory is None:
        raise BundleError(
            "no default bundle is installed. Install emo-runtime as a package (pip install "
            "emo-runtime), or give the directory of a bundle."
        )
    return directory


def installed_bundle(name: str) -> Path | None:
    """Return the directory of an installed bundle, without importing its package; None: unknown.

    Packages register bundles in the entry-point group ``emo_runtime.bundles``.
    """
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        package, *folders = entry.value.split(".")
        spec = importlib.util.find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            directory = Path(root, *folders)
            if (directory / MANIFEST_NAME).is_file():
                return directory
    return None


def installed_names() -> list[str]:
    """Return the names of the installed bundles."""
    return sorted({entry.name for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)})


def _list(names: list[str]) -> str:
    return f"installed: {', '.join(names)}" if names else "none is installed"


_REMEDY = "The bundle was changed or damaged: copy it again or run emo-export."


def _signature(directory: Path) -> bytes | None:
    path = directory / SIGNATURE_NAME
    return _read_small(path, 1024) if path.is_file() else None


def _read_small(path: Path, limit: int) -> bytes:
    """Return at most one byte more than ``limit``, which the caller then refuses."""
    with (
        _open_regular(path, path.name) as descriptor,
        open(descriptor, "rb", closefd=False) as file,
    ):
        return file.read(limit + 1)


@contextlib.contextmanager
def _open_regular(path: Path, name: str) -> Iterator[int]:
    """Yield a descriptor of a regular file; links, FIFOs and devices are refused at once."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        if path.is_symlink():
            raise BundleError(f"{name}: is a link; a bundle holds regular files only. {_REMEDY}")
        descriptor = os.open(path, flags)
    except OSError as error:
        raise BundleError(f"{path}: can't be opened: {error.strerror}. {_REMEDY}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleError(f"{name}: is not a regular file. {_REMEDY}")
        yield descriptor
    finally:
        os.close(descriptor)


def _copy(descriptor: int, file: File, stack: contextlib.ExitStack) -> VerifiedFile:
    """Copy into a memory file if the system supports it and has the memory, else into bytes."""
    try:
        if sys.platform == "linux" and _DESCRIPTORS.is_dir():
            with contextlib.suppress(OSError):
                return stack.enter_context(_in_memory_file(descriptor, file))
            os.lseek(descriptor, 0, os.SEEK_SET)
        return _in_bytes(descriptor, file)
    except (OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "no memory"
        raise BundleError(
            f"{file.file}: can't be read: {reason}. Check the disk, or allow more memory."
        ) from None


@contextlib.contextmanager
def _in_memory_file(descriptor: int, file: File) -> Iterator[VerifiedFile]:
    import fcntl  # noqa: PLC0415  (not on every platform)

    copy = os.memfd_create(file.file, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            digest.update(chunk)
            if os.fstat(copy).st_size + len(chunk) > file.bytes:
                break
            _write_all(copy, chunk)
        _check_digest(digest.hexdigest(), file)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
        if not file.bytes:
            yield VerifiedFile(file.file, memoryview(b""), b"")
            return
        with (
            mmap.mmap(copy, file.bytes, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as data,
        ):
            yield VerifiedFile(file.file, data, f"/proc/self/fd/{copy}")
    finally:
        os.close(copy)


def _in_bytes(descriptor: int, file: File) -> VerifiedFile:
    with open(descriptor, "rb", closefd=False) as stream:
        data = stream.read(file.bytes + 1)
    _check_digest(hashlib.sha256(data).hexdigest(), file)
    return VerifiedFile(file.file, memoryview(data), data)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _check_digest(found: str, file: File) -> None:
    if found != file.sha256:
        raise BundleError(
            f"{file.file}: sha256 differs from the manifest (expected {file.sha256[:8]}..., found "
            f"{found[:8]}...). The file was changed or damaged: copy the bundle again or run "
            "emo-export."
        )
