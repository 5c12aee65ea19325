"""ONNX Runtime CPU sessions for graphs in memory."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_export.onnx_graph import PROTOBUF_LIMIT, copy, encode, size_bytes
from emo_runtime.cpu import usable_cores
from emo_runtime.ort.session import load_onnxruntime

Floats = NDArray[np.float32]


class GraphSession:
    """One graph on the CPU provider.

    It uses one thread, so that results are the same on every machine; ``all_cores`` is for latency
    measurements. ``plain`` disables ONNX Runtime's graph optimizations.
    """

    def __init__(
        self, model: onnx.ModelProto, *, all_cores: bool = False, plain: bool = False
    ) -> None:
        runtime = load_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = usable_cores().count if all_cores else 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if plain:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        with _loadable(model) as source:
            self._session: Any = runtime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, **inputs: NDArray[Any]) -> dict[str, Floats]:
        """Return all outputs by name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))

    def text(self, ids: NDArray[np.int64]) -> Mapping[str, Floats]:
        """Return the outputs of a text graph for one unpadded row of ids [tokens], each [width]."""
        row = ids[np.newaxis]
        found = self.run(input_ids=row, attention_mask=np.ones_like(row))
        return {name: value[0] for name, value in found.items()}


@contextmanager
def _loadable(model: onnx.ModelProto) -> Iterator[bytes | str]:
    """Yield the model's bytes, or a file with external data for a large model."""
    if size_bytes(model) < PROTOBUF_LIMIT:
        yield encode(model)
        return
    with tempfile.TemporaryDirectory(prefix="emo-export-") as folder:
        path = Path(folder) / "graph.onnx"
        # Saving moves the weights out of the given model.
        onnx.save(copy(model), path, save_as_external_data=True, location="weights")
        yield str(path)
