"""A lookup at indices that are always 0 becomes the row."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import copy
from emo_export.passes.fold_zero_rows import fold_zero_rows

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(2, 4)).astype(np.float32)
WORDS = RANDOM.normal(size=(9, 4)).astype(np.float32)


def graph(indices: list[onnx.NodeProto], reader: str = "Add") -> onnx.ModelProto:
    """logits = words[input_ids] + table[indices]; ``indices`` make the tensor ``zeros``."""
    constants = {
        "words": WORDS,
        "table": TABLE,
        "buffer": np.zeros((1, 16), np.int64),
        "start": np.array([0]),
        "axis": np.array([1]),
        "one": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["word"]),
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Shape", ["input_ids"], ["tokens"], start=1),
        *indices,
        helper.make_node("Gather", ["table", "zeros"], ["row"]),
        helper.make_node(reader, ["row", "word"], ["logits"]),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def zeros(value: int = 0) -> list[onnx.NodeProto]:
    """As an input of token_type_ids that is not used."""
    tensor = helper.make_tensor("value", TensorProto.INT64, [1], [value])
    return [helper.make_node("ConstantOfShape", ["shape"], ["zeros"], value=tensor)]


BUFFER = [  # as RoBERTa's buffer of zeros is traced
    helper.make_node("Slice", ["buffer", "start", "tokens", "axis"], ["cut"]),
    helper.make_node("Expand", ["cut", "shape"], ["zeros"]),
]


def run(model: onnx.ModelProto) -> Any:
    ids = RANDOM.integers(0, 9, (2, 5))
    return ids, GraphSession(model, plain=True).run(input_ids=ids)["logits"]


@pytest.mark.parametrize("indices", [zeros(), BUFFER], ids=["ConstantOfShape", "buffer"])
def test_zeros_are_folded(indices: list[onnx.NodeProto]) -> None:
    folded = copy(graph(indices))
    assert fold_zero_rows(folded) == 1
    assert [node.op_type for node in folded.graph.node] == ["Gather", "Add"]
    ids, found = run(folded)
    np.testing.assert_allclose(found, WORDS[ids] + TABLE[0], rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        graph(zeros(1)),
        graph(zeros(), reader="Mul"),
        graph([helper.make_node("Sub", ["input_ids", "input_ids"], ["zeros"])]),
    ],
    ids=["ones", "another reader", "not known to be zero"],
)
def test_others_are_left(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    assert fold_zero_rows(model) == 0
    assert model.SerializeToString() == before
