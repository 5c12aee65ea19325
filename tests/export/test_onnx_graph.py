"""Helpers for graph rewrites, compared with ONNX's reference evaluator."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from emo_export import onnx_graph
from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.onnx_graph import Graph, clean, copy, encode, prune, size_bytes
from emo_export.passes.optimize import optimize_text
from emo_export.torch_export import graph
from emo_runtime.errors import EmoError
from helpers.text_graphs import difference


def test_clean_leaves_the_answers_and_no_trace(
    maker: Any, loaded: Callable[..., Checkpoints], few: Evaluation
) -> None:
    checkpoints = loaded(maker.text("mean"))
    rows = token_ids(checkpoints.text, few.texts, strip=False)
    untouched = graph(checkpoints)["text"]
    optimized = optimize_text(untouched, heads=4, hidden=64)
    cleaned = copy(optimized)
    clean(cleaned)
    assert difference(optimized, cleaned, rows) == 0
    data = encode(cleaned)
    assert b"/model/" not in data
    assert b"pytorch" not in data
    onnx.checker.check_model(cleaned)


def small_graph() -> onnx.ModelProto:
    """``y = relu(x + 2)``, and a branch with a constant of its own that nothing reads."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["x", "two"], ["sum"]),
            helper.make_node("Mul", ["sum", "unused"], ["dead"]),
            helper.make_node("Relu", ["sum"], ["y"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [
            numpy_helper.from_array(np.full(3, 2, np.float32), "two"),
            numpy_helper.from_array(np.full(3, 7, np.float32), "unused"),
        ],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def answer(model: onnx.ModelProto) -> list[float]:
    onnx.checker.check_model(model)
    x = np.array([-5, -1, 4], np.float32)
    [y] = ReferenceEvaluator(model).run(None, {"x": x})
    return [float(value) for value in y]


def test_prune_removes_what_no_output_reads() -> None:
    model = small_graph()
    prune(model)
    assert [node.op_type for node in model.graph.node] == ["Add", "Relu"]
    assert [tensor.name for tensor in model.graph.initializer] == ["two"]
    assert answer(model) == answer(small_graph()) == [0, 1, 6]


def test_a_node_is_replaced_at_its_place_and_constants_get_free_names() -> None:
    model = small_graph()
    found = Graph(model)
    add = found.maker["sum"]
    name = found.add_constant("two", np.full(3, 3, np.float32))
    assert name not in {"two", "unused"}
    found.replace_node(add, [helper.make_node("Sub", ["x", name], ["sum"])])
    assert [node.op_type for node in model.graph.node] == ["Sub", "Mul", "Relu"]
    assert answer(model) == [0, 0, 1]


def test_redirect_connects_every_reader() -> None:
    model = small_graph()
    Graph(model).redirect("sum", "x")
    prune(model)
    assert answer(model) == [0, 0, 4]


def test_a_copy_is_equal_and_independent() -> None:
    model = small_graph()
    other = copy(model)
    assert encode(other) == encode(model)
    assert size_bytes(other) == len(encode(other))
    del other.graph.node[:]
    assert len(model.graph.node) == 3


def test_a_graph_too_large_for_one_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "PROTOBUF_LIMIT", 20)
    with pytest.raises(EmoError, match=r"at most 2 GiB\. Export with --quantize"):
        encode(small_graph())
