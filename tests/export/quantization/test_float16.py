"""A float16 graph computes what numpy computes in float16, with float32 inputs and outputs."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import encode
from emo_export.quantization.float16 import half


def test_weights_are_rounded_to_float16_and_the_outputs_stay_float32() -> None:
    weight = np.array([[1 / 3, 1e-9], [1000.1, -2.5]], np.float32)
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    before = encode(model)
    converted = half(model)
    assert encode(model) == before
    [kept] = [
        numpy_helper.to_array(item)
        for item in converted.graph.initializer
        if list(item.dims) == [2, 2]
    ]
    assert kept.dtype == np.float16
    expected = weight.astype(np.float16)
    expected[0, 1] = 2.0**-24  # 1e-9 is below the smallest float16
    assert kept.tolist() == expected.tolist()
    assert {item.type.tensor_type.elem_type for item in [*converted.graph.input,
            *converted.graph.output]} == {onnx.TensorProto.FLOAT}  # fmt: skip
    # A row of the identity returns a row of the weights.
    found = GraphSession(converted, plain=True).run(x=np.eye(2, dtype=np.float32))["y"]
    assert found.dtype == np.float32
    assert found.tolist() == expected.astype(float).tolist()
