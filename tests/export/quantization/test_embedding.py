"""Tables quantized by rows: each value is within half a step of its own row."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from emo_export.onnx_graph import Graph, size_bytes
from emo_export.quantization.embedding import (
    has_word_table,
    is_large,
    quantize_positions,
    quantize_rows,
)

ROWS, WIDTH = 300, 64


@pytest.fixture
def table() -> NDArray[np.float32]:
    """Rows of very different size: one scale for all would lose the small ones."""
    random = np.random.default_rng(0)
    sizes = 10 ** random.uniform(-3, 2, (ROWS, 1))
    return (sizes * random.standard_normal((ROWS, WIDTH))).astype(np.float32)


def lookup(table: NDArray[np.float32]) -> onnx.ModelProto:
    """Word rows of ids, plus the first rows of the same table as positions."""
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["words", "input_ids"], ["word"]),
            helper.make_node("Slice", ["positions", "zero", "length", "zero"], ["position"]),
        ],
        "lookup",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["tokens"]),
            helper.make_tensor_value_info("length", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("word", TensorProto.FLOAT, ["tokens", WIDTH]),
            helper.make_tensor_value_info("position", TensorProto.FLOAT, ["count", WIDTH]),
        ],
        [
            numpy_helper.from_array(table, "words"),
            numpy_helper.from_array(table, "positions"),
            numpy_helper.from_array(np.zeros(1, np.int64), "zero"),
        ],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_rows_and_positions_within_half_a_step(table: NDArray[np.float32]) -> None:
    model = lookup(table)
    before = size_bytes(model)
    assert has_word_table(model)
    assert quantize_rows(model)
    assert quantize_positions(model)
    onnx.checker.check_model(model)
    assert size_bytes(model) < 0.3 * before
    ids = np.arange(ROWS, dtype=np.int64)[::-1].copy()
    evaluator = ReferenceEvaluator(model)
    word, position = evaluator.run(None, {"input_ids": ids, "length": np.array([ROWS])})
    half_a_step = np.abs(table).max(axis=1, keepdims=True) / 127 / 2
    assert (np.abs(word - table[ids]) <= half_a_step[ids] * (1 + 1e-5)).all()
    assert (np.abs(position - table) <= half_a_step * (1 + 1e-5)).all()


def test_a_small_table_of_positions_stays(table: NDArray[np.float32]) -> None:
    model = lookup(table[:8])
    assert not quantize_positions(model)
    assert Graph(model).constant("positions") is not None


def test_a_graph_is_large_with_its_table_in_float32_and_the_rest_in_int8(
    table: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lookup(table)
    size = table.nbytes + table.nbytes / 4
    for limit, large in ((0.98 * size, True), (1.05 * size, False)):
        monkeypatch.setattr("emo_export.quantization.embedding.SMALL_BYTES", limit)
        assert is_large(model) == large
