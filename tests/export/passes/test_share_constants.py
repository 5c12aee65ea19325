"""Equal weights are stored once."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import copy
from emo_export.passes.share_constants import share_constants


def test_equal_weights_are_stored_once_and_answers_stay() -> None:
    random = np.random.default_rng(0)
    weight, other = random.standard_normal((2, 32, 32)).astype(np.float32)
    tensors = [
        numpy_helper.from_array(value, name)
        for name, value in (("a", weight), ("b", weight), ("c", other), ("d", other[:1, :4]))
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["y"]),
        helper.make_node("MatMul", ["y", "b"], ["z"]),
        helper.make_node("MatMul", ["z", "c"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 32])],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    given: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    shared = copy(given)
    assert share_constants(shared) == 1
    assert [tensor.name for tensor in shared.graph.initializer] == ["a", "c", "d"]
    x = random.standard_normal((1, 32)).astype(np.float32)
    np.testing.assert_array_equal(
        GraphSession(shared).run(x=x)["logits"], GraphSession(given).run(x=x)["logits"]
    )
    assert share_constants(shared) == 0
