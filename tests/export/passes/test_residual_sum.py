"""ONNX Runtime fuses no residual with the layer norm after it, where that is slower."""

from collections.abc import Callable
from typing import Any

import onnx
import pytest

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.quantization.variants import optimize, variant
from emo_export.torch_export import graph
from helpers.text_graphs import difference, operators


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_residuals_stay_apart_on_the_cpu(
    maker: Any,
    loaded: Callable[..., Checkpoints],
    few: Evaluation,
    as_loaded: Callable[[onnx.ModelProto], onnx.ModelProto],
    precision: Any,
) -> None:
    checkpoints = loaded(maker.text("mean"))
    optimized = optimize(graph(checkpoints), checkpoints, ("fp32", "int8", "fp16"))
    model = variant(optimized, "text", precision)
    seen = operators(as_loaded(model))
    assert (seen["SkipLayerNormalization"] == 0) == (precision != "fp16")
    if precision == "fp32":
        rows = token_ids(checkpoints.text, few.texts, strip=False)
        assert difference(optimized.graphs["text"], model, rows) == 0
