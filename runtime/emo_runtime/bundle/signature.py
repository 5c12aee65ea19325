"""Signatures of bundles: ed25519 over the bytes of the manifest (extra [sign]).

The manifest contains the hash of every other file, so the signature covers the whole bundle.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emo_runtime.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME
from emo_runtime.errors import BundleError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

_MAX_KEY_BYTES = 1 << 16
_HOW_TO_MAKE_KEYS = (
    "Make keys with: openssl genpkey -algorithm ed25519 -out key.pem; "
    "openssl pkey -in key.pem -pubout -out public.pem"
)


def sign(manifest: bytes, private_key: str | os.PathLike[str]) -> bytes:
    """Return the 64-byte signature of a manifest by an ed25519 private key (a PEM file).

    Raises BundleError, MissingExtraError.
    """
    ed25519, serialization = _cryptography()
    pem = _read_key(private_key)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(private_key, "private", error) from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key(private_key, "private")
    signature: bytes = key.sign(manifest)
    return signature


def sign_bundle(bundle: Path, private_key: str | os.PathLike[str]) -> None:
    """Sign the bundle in the directory ``bundle``; an existing signature is replaced."""
    signature = sign((bundle / MANIFEST_NAME).read_bytes(), private_key)
    # Beside the bundle, not in it: readers refuse files that the manifest does not list.
    directory = bundle.absolute()
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}.{SIGNATURE_NAME}")
    try:
        temporary.write_bytes(signature)
        temporary.replace(directory / SIGNATURE_NAME)
    finally:
        temporary.unlink(missing_ok=True)


def check_signature(
    manifest: bytes, signature: bytes | None, public_key: str | os.PathLike[str]
) -> None:
    """Raise BundleError unless ``signature`` is valid for the manifest and the public key."""
    ed25519, serialization = _cryptography()
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  (an extra)

    pem = _read_key(public_key)
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError) as error:
        raise _no_key(public_key, "public", error) from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key(public_key, "public")
    if signature is None:
        raise BundleError(
            f"the bundle has no {SIGNATURE_NAME}, and a signature was required. Get the signed "
            "bundle from its author, or sign it with `emo-bundle sign`."
        )
    try:
        key.verify(signature, manifest)
    except InvalidSignature:
        raise BundleError(
            f"{SIGNATURE_NAME}: not the signature of this manifest by the key in {public_key}. The "
            "bundle was changed after it was signed, or signed with another key. Do not use it."
        ) from None


def _cryptography() -> "tuple[ModuleType, ModuleType]":
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  (an extra)
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(
            'signatures need the package cryptography: pip install "emo-runtime[sign]"'
        ) from None
    return ed25519, serialization


def _read_key(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise BundleError(f"{path}: can't be read: {error.strerror}. Check the path.") from None


def _no_key(path: Any, kind: str, error: Exception | None = None) -> BundleError:
    reason = f" ({str(error).splitlines()[0]})" if error and str(error) else ""
    return BundleError(
        f"{path}: not an ed25519 {kind} key in PEM format{reason}. {_HOW_TO_MAKE_KEYS}"
    )
