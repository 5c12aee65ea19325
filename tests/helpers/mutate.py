"""Modify bundles, with or without updating the hashes in the manifest."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Apply ``change`` to the manifest's document in place; returns the bundle."""
    path = bundle / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return bundle


def replace_file(bundle: Path, name: str, data: bytes) -> Path:
    """Replace a file and update its hash and size in the manifest, as an attacker would."""
    (bundle / name).write_bytes(data)

    def update(document: dict[str, Any]) -> None:
        for entry in _file_entries(document):
            if entry["file"] == name:
                entry["sha256"] = hashlib.sha256(data).hexdigest()
                entry["bytes"] = len(data)

    return edit_manifest(bundle, update)


def flip_byte(path: Path, position: int) -> None:
    """Invert one byte of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def _file_entries(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for graph in document["graphs"].values():
        yield from graph["variants"].values()
    yield from document["tokenizers"].values()
    yield document["golden"]
    yield document["card"]
