"""Identities of shared weights."""

import numpy as np
from onnx import helper

from emo_export.passes.identities import inline_identities
from helpers.exported import kinds, made, run


def test_identities_inside_a_graph_go_and_one_that_makes_the_output_stays() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(3, 2)
    model = made(
        [
            helper.make_node("Identity", ["w"], ["a"]),
            helper.make_node("Identity", ["a"], ["b"]),
            helper.make_node("MatMul", ["x", "b"], ["product"]),
            helper.make_node("Identity", ["product"], ["y"]),
        ],
        {"w": weight},
        [2, 3],
    )
    assert inline_identities(model) == 2
    assert kinds(model) == ["MatMul", "Identity"]
    assert model.graph.node[0].input[1] == "w"
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(run(model, x), x @ weight)
