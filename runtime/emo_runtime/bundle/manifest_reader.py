"""Strict reader of manifest.json, schemas ``emo-bundle/2`` and ``emo-bundle/1``."""

import json
import math
import re
from typing import Any, NoReturn

import msgspec

from emo_runtime.bundle.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, SCHEMA, Manifest
from emo_runtime.bundle.manifest_check import REMEDY, check_manifest
from emo_runtime.bundle.manifest_v1 import SCHEMA_V1, ManifestV1, upgrade
from emo_runtime.errors import BundleError


def parse_manifest(data: bytes) -> Manifest:
    """Read and check a manifest; one of schema ``emo-bundle/1`` is upgraded.

    Raises:
        BundleError: The JSON is malformed, too large or nested too deeply, has a duplicate key or a
            number that is not finite, has an unknown schema, or contradicts itself.
    """
    document = _load(data)
    try:
        if _schema_of(document) == SCHEMA_V1:
            manifest = upgrade(msgspec.convert(document, ManifestV1))
        else:
            manifest = msgspec.convert(document, Manifest)
    except (ValueError, msgspec.ValidationError) as error:
        raise BundleError(f"{MANIFEST_NAME}: {error}. {REMEDY}") from None
    check_manifest(manifest)
    return manifest


def _load(data: bytes) -> Any:
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{MANIFEST_NAME}: {len(data):,} bytes, at most {MAX_MANIFEST_BYTES:,} are allowed. "
            "This is not a bundle of this software."
        )
    try:
        document = json.loads(
            data,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        msgspec.json.encode(document)  # fails for lone surrogates, which can't be written again
    except RecursionError:
        raise BundleError(f"{MANIFEST_NAME}: nested too deeply. {REMEDY}") from None
    except ValueError as error:
        raise BundleError(f"{MANIFEST_NAME}: not valid JSON: {error}. {REMEDY}") from None
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate key {duplicate!r:.80}")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError(f"{number:.40} does not fit a float64")
    return value


def _schema_of(document: object) -> str:
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, str) and schema in {SCHEMA, SCHEMA_V1}:
        return schema
    match = re.fullmatch(r"emo-bundle/(\d{1,9})", schema) if isinstance(schema, str) else None
    if match is None:
        raise BundleError(
            f"{MANIFEST_NAME}: unknown schema {schema!r:.80}; expected {SCHEMA!r}. This is not a "
            "bundle of this software."
        )
    raise BundleError(
        f"{MANIFEST_NAME}: written for {schema!r}, this emo-runtime reads {SCHEMA_V1!r} and "
        f"{SCHEMA!r}. Update emo-runtime, or export the bundle again with this version."
    )
