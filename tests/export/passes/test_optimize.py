"""The optimized text graph answers as the untouched one, with a third of the operators."""

from collections.abc import Callable
from typing import Any

import pytest

from emo_export.passes.optimize import optimize_text
from helpers.text_graphs import EXACT, difference, operators


@pytest.mark.parametrize("kind", ["cls", "mean", "shared"])
@pytest.mark.parametrize("embedding_fused", [True, False])
def test_optimized_text_graph(
    text_graph: Callable[[str], Any], kind: str, embedding_fused: bool
) -> None:
    untouched, rows = text_graph(kind)
    optimized = optimize_text(untouched, heads=4, hidden=64, embedding_fused=embedding_fused)
    assert difference(untouched, optimized, rows) < EXACT
    found = operators(optimized)
    assert found["Attention"] + found["MultiHeadAttention"] == 2
    assert found["Gelu"] == 2
    assert found["EmbedLayerNormalization"] == embedding_fused
    assert not found["SkipLayerNormalization"]
    assert found["MultiHeadAttention"] == (kind == "cls")  # only there is a layer cut
    assert sum(found.values()) < sum(operators(untouched).values()) / 3
