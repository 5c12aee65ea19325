"""Channel factors move from activations into weights without a change of the result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import Graph, copy
from emo_export.passes.optimize import optimize_text
from emo_export.passes.scale_channels import products_of, scale_channels
from emo_export.quantization.channel_scales import choose_factors
from emo_export.quantization.dynamic import products, quantize
from emo_export.torch_export import graph


def answers(model: onnx.ModelProto, rows: list[Any]) -> NDArray[np.float32]:
    session = GraphSession(model)
    return np.stack([session.text(ids)["logits"] for ids in rows])


def test_factors_change_no_answer(
    maker: Any, loaded: Callable[..., Checkpoints], few: Evaluation
) -> None:
    checkpoints = loaded(maker.text("mean"))
    rows = token_ids(checkpoints.text, few.texts)
    model = optimize_text(graph(checkpoints)["text"], heads=4, hidden=64)
    index = Graph(model)
    sources = {index.maker[name].input[0] for name in products(model)}
    random = np.random.default_rng(0)
    factors = {}
    for source in sources:
        weight = index.constant(products_of(index, source)[0].input[1])
        factors[source] = np.exp(random.uniform(-2, 2, len(weight))).astype(np.float32)
    scaled = copy(model)
    assert scale_channels(scaled, factors) == len(products(model))
    assert products(scaled) == products(model)
    added = len(scaled.graph.node) - len(model.graph.node)
    assert added == len(sources)
    assert np.abs(answers(scaled, rows) - answers(model, rows)).max() < 1e-5


def test_a_large_channel_is_found_and_its_error_reduced(
    maker: Any, loaded: Callable[..., Checkpoints], few: Evaluation
) -> None:
    checkpoints = loaded(maker.outliers())
    rows = token_ids(checkpoints.text, few.texts)
    model = optimize_text(graph(checkpoints)["text"], heads=4, hidden=64)
    factors = choose_factors(model, rows[:12])
    source = max(factors, key=lambda name: factors[name].max())
    assert factors[source].argmax() == 0  # the channel that the checkpoint makes large
    scaled = copy(model)
    scale_channels(scaled, factors)
    affected = {node.output[0] for node in products_of(Graph(model), source)}
    others = frozenset(products(model)) - affected
    exact = answers(model, rows)
    without, found = (
        np.abs(answers(quantize(graph, keep=others, pairs=True), rows) - exact).mean()
        for graph in (model, scaled)
    )
    assert found < 0.5 * without


def test_even_channels_get_no_factors(
    maker: Any, loaded: Callable[..., Checkpoints], few: Evaluation
) -> None:
    checkpoints = loaded(maker.text("mean"))
    model = optimize_text(graph(checkpoints)["text"], heads=4, hidden=64)
    factors = choose_factors(model, token_ids(checkpoints.text, few.texts)[:12])
    assert len(factors) < len(products(model)) / 2
