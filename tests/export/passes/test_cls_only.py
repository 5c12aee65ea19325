"""A classifier that reads [CLS] computes its last layer for the first token only."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import copy, encode
from emo_export.passes.cls_only import keep_cls_only
from emo_export.passes.optimize import optimize_text
from helpers.text_graphs import EXACT, difference


def test_last_layer_for_the_first_token_only(text_graph: Callable[[str], Any]) -> None:
    untouched, rows = text_graph("cls")
    cut = optimize_text(untouched, heads=4, hidden=64)
    session = GraphSession(with_output(cut, last_of(cut, "LayerNormalization")), plain=True)
    found = session.run(
        input_ids=rows[0][None], attention_mask=np.ones((1, len(rows[0])), np.int64)
    )
    assert found["probe"].shape == (1, 1, 64)
    assert difference(untouched, cut, rows) < EXACT


@pytest.mark.parametrize("kind", ["mean", "shared"])
def test_last_layer_stays_whole_where_all_of_it_is_read(
    text_graph: Callable[[str], Any], kind: str
) -> None:
    untouched, _ = text_graph(kind)
    optimized = optimize_text(untouched, heads=4, hidden=64)
    before = encode(optimized)
    assert not keep_cls_only(optimized)
    assert encode(optimized) == before


def last_of(model: onnx.ModelProto, op_type: str) -> str:
    return [node.output[0] for node in model.graph.node if node.op_type == op_type][-1]


def with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    other = copy(model)
    other.graph.node.append(helper.make_node("Identity", [name], ["probe"]))
    other.graph.output.append(helper.make_tensor_value_info("probe", 1, None))
    return other
