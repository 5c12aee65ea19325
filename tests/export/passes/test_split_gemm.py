"""A large Gemm is a product and a sum."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from emo_export.onnx_graph import encode
from emo_export.passes.split_gemm import split_large_gemms
from emo_runtime.ort.session import load_onnxruntime
from helpers.text_graphs import operators


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_large_gemm_becomes_a_product_and_a_sum(transposed: int) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(256, 300)).astype(np.float32)
    bias = random.normal(size=300).astype(np.float32)
    values = random.normal(size=(5, 256)).astype(np.float32)

    def model(**attributes: Any) -> onnx.ModelProto:
        kept = weight.T if attributes.get("transB") else weight
        return helper.make_model(
            helper.make_graph(
                [helper.make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)],
                "gemm",
                [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 256])],
                [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 300])],
                [
                    onnx.numpy_helper.from_array(np.ascontiguousarray(kept), "w"),
                    onnx.numpy_helper.from_array(bias, "b"),
                ],
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=9,
        )

    rewritten = model(transB=transposed)
    assert split_large_gemms(rewritten) == 1
    assert operators(rewritten) == {"MatMul": 1, "Add": 1}
    session = load_onnxruntime().InferenceSession(
        encode(rewritten), providers=["CPUExecutionProvider"]
    )
    exact = values.astype(np.float64) @ weight + bias
    # The bound of a float32 sum of 256 products in any order, element by element.
    bound = 258 * 2**-24 * (np.abs(values).astype(np.float64) @ np.abs(weight) + np.abs(bias))
    assert (np.abs(session.run(None, {"x": values})[0] - exact) <= bound).all()
    assert split_large_gemms(model(transB=transposed, alpha=0.5)) == 0
