"""Triton's rules for model repositories and requests, with ONNX Runtime as the backend.

The configurations are read with Triton's own protobuf schema. Over HTTP as ``tritonclient`` speaks
it, every tensor in binary.
"""

import contextlib
import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format

from emo_runtime.ort.session import load_onnxruntime
from helpers.modules import load_module

TYPES = {"TYPE_INT64": ("INT64", np.int64), "TYPE_FP32": ("FP32", np.float32)}


def schema() -> Any:
    """Triton's ``model_config_pb2``; not by its package, which imports gRPC."""
    [root] = importlib.util.find_spec("tritonclient").submodule_search_locations
    return load_module(Path(root) / "grpc" / "model_config_pb2.py")


SCHEMA = schema()


def type_name(tensor: Any) -> str:
    """``TYPE_...`` of a configuration's input or output."""
    return SCHEMA.DataType.Name(tensor.data_type)


class Model:
    """A model of a repository."""

    def __init__(self, directory: Path) -> None:
        self.config = text_format.Parse(
            (directory / "config.pbtxt").read_text(encoding="utf-8"), SCHEMA.ModelConfig()
        )
        assert self.config.name == directory.name
        assert self.config.backend == "onnxruntime"
        path = str(directory / "1" / "model.onnx")
        self.session = load_onnxruntime().InferenceSession(path, providers=["CPUExecutionProvider"])

    def infer(self, inputs: dict[str, Any], outputs: list[str]) -> list[Any]:
        """Raise ValueError for a request that Triton would refuse."""
        if inputs.keys() != {item.name for item in self.config.input}:
            raise ValueError(f"inputs {sorted(inputs)}")
        for item in self.config.input:
            given = inputs[item.name]
            if given.dtype != TYPES[type_name(item)][1]:
                raise ValueError(f"{item.name}: {given.dtype}")
            largest = self.config.max_batch_size
            dims = [*([-1] if largest else []), *item.dims]
            fits = len(dims) == given.ndim and all(
                dim in {-1, size} for dim, size in zip(dims, given.shape, strict=True)
            )
            if not fits or (largest and len(given) > largest):
                raise ValueError(f"{item.name}: {given.shape}, not {dims}")
        return self.session.run(outputs, inputs)


def models(repository: Path) -> dict[str, Model]:
    """Load every folder as a model, as Triton does; ignore files."""
    return {path.name: Model(path) for path in repository.iterdir() if path.is_dir()}


@contextlib.contextmanager
def served(repository: Path) -> Iterator[str]:
    """Yield ``host:port`` of a server for the repository."""
    loaded = models(repository)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            name = re.fullmatch(r"/v2/models/([^/]+)/infer", self.path)[1]
            body = self.rfile.read(int(self.headers["Content-Length"]))
            length = int(self.headers["Inference-Header-Content-Length"])
            document, rest = json.loads(body[:length]), body[length:]
            inputs = {}
            for item in document["inputs"]:
                size = item["parameters"]["binary_data_size"]
                kind = next(kind for name, kind in TYPES.values() if name == item["datatype"])
                inputs[item["name"]] = np.frombuffer(rest[:size], kind).reshape(item["shape"])
                rest = rest[size:]
            wanted = [item["name"] for item in document["outputs"]]
            try:
                [found] = loaded[name].infer(inputs, wanted)
            except ValueError as error:
                self.reply(400, json.dumps({"error": str(error)}).encode())
                return
            data = found.tobytes()
            output = {"name": wanted[0], "datatype": "FP32", "shape": list(found.shape)}
            output["parameters"] = {"binary_data_size": len(data)}
            head = json.dumps({"model_name": name, "outputs": [output]}).encode()
            self.reply(200, head + data, {"Inference-Header-Content-Length": str(len(head))})

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
