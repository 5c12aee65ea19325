"""Convert a bundle to a model repository of NVIDIA Triton: a model per graph, and a client.

Triton only runs graphs. Pre- and post-processing (tokens, MFCCs, softmax) is in ``client.py``,
which is written with the bundle files that it needs.
"""

import hashlib
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path

from emo_export.triton.config import model_config
from emo_runtime.bundle.manifest import MANIFEST_NAME, Manifest, Precision
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.bundle.onnx_check import check_graph
from emo_runtime.errors import EmoError

_DATA = package_files("emo_export").joinpath("data")
_CLIENT = package_files("emo_export.triton").joinpath("client.py")


def repository_files(bundle: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the repository's files by relative path; equal bundle files give equal bytes."""
    manifest = parse_manifest(bundle[MANIFEST_NAME])
    files = {name: data for name, data in bundle.items() if not name.endswith(".onnx")}
    rows = []
    for graph, precision, file in _variants(manifest):
        name = model_name(graph, precision)
        info = check_graph(memoryview(bundle[file]), file)
        is_fusion = manifest.graphs[graph].kind == "fusion"
        files[_model_path(graph, precision)] = bundle[file]
        files[f"{name}/config.pbtxt"] = model_config(
            name, info, precision, on_cpu=is_fusion
        ).encode()
        rows.append(
            f"| `{name}` | {_listed(info.inputs)} | {_listed(info.outputs)} | "
            f"{'one row' if precision.startswith('int8') else 'rows of equal length'} |"
        )
    files["client.py"] = _CLIENT.read_bytes()
    readme = _DATA.joinpath("triton.md").read_text(encoding="utf-8")
    files["README.md"] = readme.format(manifest=manifest, models="\n".join(rows)).encode()
    return files


def model_name(graph: str, precision: Precision) -> str:
    """Return the Triton model name of a graph's variant."""
    return f"emo_{graph}_{precision}".replace("-", "_")


def check_repository(directory: Path) -> None:
    """Raise EmoError if a graph on disk is not the one in its manifest."""
    manifest = parse_manifest((directory / MANIFEST_NAME).read_bytes())
    for graph, precision, file in _variants(manifest):
        path = directory / _model_path(graph, precision)
        expected = manifest.graphs[graph].variants[precision].sha256
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise EmoError(f"{path}: differs from {file} of the bundle. Export again.")


def _variants(manifest: Manifest) -> list[tuple[str, Precision, str]]:
    """Return graph, precision and bundle file of every variant."""
    return [
        (name, precision, file.file)
        for name, graph in manifest.graphs.items()
        for precision, file in graph.variants.items()
    ]


def _model_path(graph: str, precision: Precision) -> str:
    return f"{model_name(graph, precision)}/1/model.onnx"


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f"`{name}`" for name in names)
