"""``If`` nodes become their branch, or the graph is refused."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import copy
from emo_export.passes.fold_if import fold_ifs
from emo_models.errors import CheckpointError


def branch(name: str, factor: int, inner: onnx.NodeProto | None = None) -> onnx.GraphProto:
    """``outer * factor``; with ``inner``, an ``If`` that makes ``nested`` from it."""
    constant = numpy_helper.from_array(np.array(factor, np.int64), f"{name}.factor")
    nodes = [helper.make_node("Mul", ["input_ids", f"{name}.factor"], [f"{name}.product"])]
    result = f"{name}.product"
    if inner is not None:
        nodes.append(inner)
        result = "nested"
    output = helper.make_tensor_value_info(result, TensorProto.INT64, None)
    return helper.make_graph(nodes, name, [], [output], [constant])


def model(compared: str) -> onnx.ModelProto:
    """logits = ids * 3 if the compared sizes are equal, else ids * 5."""
    axis = numpy_helper.from_array(np.array(1, np.int64), "one")
    small = helper.make_node(
        "If", ["same"], ["nested"], then_branch=branch("a", 3), else_branch=branch("b", 4)
    )
    node = helper.make_node(
        "If", ["same"], ["logits"], then_branch=branch("c", 2, small), else_branch=branch("d", 5)
    )
    nodes = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Shape", ["attention_mask"], ["other"]),
        helper.make_node("Gather", ["shape", "one"], ["tokens"]),
        helper.make_node("Gather", ["other", "one"], ["wanted"]),
        helper.make_node("Equal", ["tokens", compared], ["same"]),
        node,
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.INT64, None)]
    graph = helper.make_graph(nodes, "test", inputs, outputs, [axis])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


def test_the_branch_that_is_always_taken_remains() -> None:
    given = model("wanted")
    folded = copy(given)
    assert fold_ifs(folded) == 2
    assert not [node for node in folded.graph.node if node.op_type == "If"]
    ids = np.arange(6, dtype=np.int64)[np.newaxis]
    expected = GraphSession(given).run(input_ids=ids, attention_mask=ids)["logits"]
    found = GraphSession(folded).run(input_ids=ids, attention_mask=ids)["logits"]
    np.testing.assert_array_equal(found, expected)


def test_a_branch_that_depends_on_the_length_is_refused() -> None:
    with pytest.raises(CheckpointError, match="branches on the length of the text"):
        fold_ifs(model("one"))
