"""The linear start of a fusion network is one matrix product."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.compare import run_fusion
from emo_export.onnx_graph import encode
from emo_export.passes.fold_linear import fold_linear
from emo_export.passes.optimize import optimize_fusion
from emo_export.torch_export import graph
from helpers.text_graphs import EXACT, operators

Load = Callable[..., Checkpoints]


@pytest.fixture
def features() -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    mfcc = (30 * random.standard_normal((9, 128)) - 20).astype(np.float32)
    return mfcc, random.standard_normal((9, 64)).astype(np.float32)


def test_plain_fusion_network_becomes_two_layers(
    maker: Any, loaded: Load, features: tuple[Any, Any]
) -> None:
    encoder = maker.encoder()
    untouched = graph(loaded(maker.text(), encoder, maker.fusion(encoder)))["fusion"]
    folded = optimize_fusion(untouched)
    assert operators(folded) == {"Concat": 1, "Gemm": 2, "Relu": 1}
    shapes = [list(tensor.dims) for tensor in folded.graph.initializer]
    assert [128 + 64, 64] in shapes
    expected, found = (run_fusion(model, *features) for model in (untouched, folded))
    assert np.abs(found - expected).max() < EXACT * np.abs(expected).max()


@pytest.mark.parametrize("variant", ["plain", "attention", "multihead"])
@pytest.mark.parametrize("present", [False, True])
def test_folded_fusion_network(
    maker: Any, loaded: Load, features: tuple[Any, Any], variant: str, present: bool
) -> None:
    encoder = maker.encoder()
    fusion = maker.fusion(encoder, variant=variant, present_input=present)
    untouched = graph(loaded(maker.text(), encoder, fusion))["fusion"]
    folded = optimize_fusion(untouched)
    for there in [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]:
        expected, found = (run_fusion(model, *features, there) for model in (untouched, folded))
        assert np.abs(found - expected).max() < EXACT * max(1, np.abs(expected).max())
    # The standardisation is gone in every variant.
    assert operators(folded)["Sub"] <= (2 if present else 0)


def test_nothing_linear_to_fold() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["audio"], ["logits"])],
            "g",
            [helper.make_tensor_value_info("audio", 1, ["batch", 3])],
            [helper.make_tensor_value_info("logits", 1, ["batch", 3])],
        )
    )
    before = encode(model)
    assert not fold_linear(model)
    assert encode(model) == before
