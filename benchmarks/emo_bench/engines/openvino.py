"""OpenVINO on the exported graph: float32, bfloat16, and int8 by NNCF."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from emo_bench.engines.compiled import openvino_function
from emo_bench.engines.torch_stack import Floats, Ids, RivalEngine, export_onnx, set_threads
from emo_bench.workload import synthetic

_CALIBRATION = 256


def open_engine(
    *, checkpoint: str, precision: str, threads: int | None, serving: bool
) -> RivalEngine:
    """Open OpenVINO; ``precision``: fp32, bf16, or int8 (NNCF post-training quantization)."""
    import openvino

    concurrency = set_threads(threads, serving=serving)
    core = openvino.Core()
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name:
        model = core.read_model(export_onnx(Path(checkpoint), Path(name, "model.onnx")))
        if precision == "int8":
            model = _quantized(model, Path(checkpoint))
        hint = "bf16" if precision == "bf16" else "f32"
        infer = openvino_function(core, model, hint, threads, concurrency)

    def run(ids: Ids, mask: Ids) -> tuple[Floats, Floats]:
        found = infer({"input_ids": ids, "attention_mask": mask})
        return np.array(found["logits"]), np.array(found["embedding"])

    described: dict[str, Any] = {"engine": "OpenVINO", "precision": precision}
    return RivalEngine(Path(checkpoint), run, described, concurrency)


def _quantized(model: Any, checkpoint: Path) -> Any:
    os.environ["NNCF_CI"] = "1"  # disable its telemetry
    import nncf

    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "text")

    def batches() -> Iterator[dict[str, Ids]]:
        for sample in synthetic(_CALIBRATION, 1, with_audio=False):
            encoded = tokenizer(sample.text, truncation=True, max_length=128, return_tensors="np")
            yield {name: encoded[name] for name in ("input_ids", "attention_mask")}

    return nncf.quantize(
        model,
        nncf.Dataset(list(batches())),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=_CALIBRATION,
    )
