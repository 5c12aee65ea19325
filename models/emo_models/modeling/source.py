"""Files of a text checkpoint: its directory (local or from the Hub), config.json, weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from emo_models.errors import CheckpointError, first_line

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PICKLED = "pytorch_model.bin"
# In the order in which transformers looks for them; an index lists the shards of one state.
WEIGHT_FILES = (WEIGHTS, f"{WEIGHTS}.index.json", PICKLED, f"{PICKLED}.index.json")

_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.md"]
_SAFETENSORS = [WEIGHTS, "model-*-of-*.safetensors"]
_ONNX = ["model.onnx*", "onnx/model.onnx*"]
_PICKLES = [PICKLED, "pytorch_model-*-of-*.bin"]


def checkpoint_directory(
    source: str | Path, also: Sequence[str] = (), *, onnx: bool = False
) -> Path:
    """Return the local directory of ``source``.

    Args:
        source: a directory, or a Hub id such as ``dccuchile/bert-base-spanish-wwm-cased``. A Hub
            id is downloaded into the Hub client's cache, or read from that cache when offline.
            Pickled weights are downloaded only where there are no safetensors weights.
        also: names of more files to download, as ``model.bin``.
        onnx: download the ONNX graph where there are no weights.

    Raises:
        CheckpointError: neither a directory nor a Hub id that is available.
    """
    path = Path(source)
    name = str(source)
    if path.is_dir():
        return path
    if path.exists() or name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise CheckpointError(
            f"{name}: neither a directory nor a Hub id. Give a checkpoint directory (with "
            f"{CONFIG}, a tokenizer and {WEIGHTS} or {PICKLED}) or a Hub id like "
            "'dccuchile/bert-base-spanish-wwm-cased'."
        )
    try:
        found = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, *_SAFETENSORS, *also]))
        if not any((found / name).is_file() for name in (*WEIGHT_FILES[:2], *also)):
            found = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, *_PICKLES]))
        if onnx and not any((found / name).is_file() for name in (*WEIGHT_FILES, *also)):
            found = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, *_ONNX]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name}: no such directory, and not available from the Hub or its local cache: "
            f"{first_line(error)}"
        ) from error
    return found


def read_config(directory: Path | str) -> dict[str, Any]:
    """Return config.json of a checkpoint.

    Raises:
        CheckpointError: the file is missing or is not a JSON object.
    """
    path = Path(directory) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(
            f"{directory}: holds no {CONFIG}. Give the directory of a checkpoint."
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: not a JSON object.")
    return config


def weight_files(directory: Path) -> tuple[Path, ...]:
    """Return the files of a checkpoint's weights: one, or the shards that an index lists.

    Raises:
        CheckpointError: there are none, or an index names files that are missing.
    """
    for name in WEIGHT_FILES:
        path = directory / name
        if path.is_file():
            return _shards(path) if name.endswith(".index.json") else (path,)
    others = sorted(
        path.name
        for path in directory.iterdir()
        if path.suffix in {".h5", ".msgpack", ".pt", ".pth", ".ckpt", ".gguf"}
        or path.name.startswith("adapter_model")
    )
    found = f" It holds {', '.join(others)}, which is not read." if others else ""
    if any(list((directory / folder).glob("*.onnx")) for folder in ("", "onnx")):
        found += " Its ONNX graph is read by emo-export --text only."
    raise CheckpointError(
        f"{directory}: holds no weights. Looked for {', '.join(WEIGHT_FILES)}.{found}"
    )


def weights_sha256(directory: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights as lower-case hex (see ``files_sha256``)."""
    return files_sha256(weight_files(directory))


def files_sha256(files: Sequence[Path]) -> str:
    """Return the SHA-256 of a file; for several files that of their names and hashes, in order."""
    if len(files) == 1:
        return file_sha256(files[0])
    lines = "".join(f"{file_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        document = json.loads(index.read_text(encoding="utf-8"))
        names = sorted(set(document["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(f"{index}: not an index of weights: {error!r}") from None
    if not names or any(not isinstance(name, str) or PurePath(name).name != name for name in names):
        raise CheckpointError(f"{index}: its weight_map names no plain files.")
    if missing := [name for name in names if not (index.parent / name).is_file()]:
        raise CheckpointError(
            f"{index}: names {', '.join(missing[:3])}, which "
            f"{'is' if len(missing) == 1 else 'are'} missing. Copy the checkpoint again."
        )
    return tuple(index.parent / name for name in names)
