"""Position ids that count from zero are dropped."""

from collections.abc import Callable
from typing import Any

from emo_export.passes.drop_position_ids import drop_position_ids
from emo_export.passes.optimize import optimize_text
from helpers.text_graphs import EXACT, difference, operators


def test_position_ids_are_dropped_only_where_they_count_from_zero(
    text_graph: Callable[[str], Any],
) -> None:
    untouched, rows = text_graph("mean")
    optimized = optimize_text(untouched, heads=4, hidden=64)
    assert difference(untouched, optimized, rows) < EXACT
    assert not {"Shape", "Slice"} & set(operators(optimized))
    assert not drop_position_ids(optimized)
