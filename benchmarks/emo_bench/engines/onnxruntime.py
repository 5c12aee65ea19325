"""ONNX Runtime on the exported graph, and on its dynamic int8 quantization by optimum."""

import tempfile
from pathlib import Path
from typing import Any

from emo_bench.engines.compiled import quantized
from emo_bench.engines.torch_stack import (
    Floats,
    Ids,
    RivalEngine,
    export_onnx,
    folder_bytes,
    set_threads,
)
from emo_runtime.ort.session import load_onnxruntime


def open_engine(
    *, checkpoint: str, precision: str, threads: int | None, serving: bool
) -> RivalEngine:
    """Open a session.

    ``precision``: fp32, or int8 as ``optimum-cli onnxruntime quantize --avx512_vnni``.
    """
    runtime = load_onnxruntime()
    concurrency = set_threads(threads, serving=serving)
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name:
        path = export_onnx(Path(checkpoint), Path(name, "model.onnx"))
        if precision == "int8":
            path = quantized(path, Path(name, "quantized"))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1 if serving else threads or 0
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        size = folder_bytes(path)

    def run(ids: Ids, mask: Ids) -> tuple[Floats, Floats]:
        logits, embedding = session.run(
            ["logits", "embedding"], {"input_ids": ids, "attention_mask": mask}
        )
        return logits, embedding

    described: dict[str, Any] = {
        "engine": "ONNX Runtime",
        "precision": precision,
        "model_bytes": size,
    }
    return RivalEngine(Path(checkpoint), run, described, concurrency)
