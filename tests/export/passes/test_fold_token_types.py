"""The only segment in use is a part of the position table."""

from collections.abc import Callable
from typing import Any

from emo_export.onnx_graph import copy
from emo_export.passes.fold_token_types import fold_token_types
from helpers.text_graphs import EXACT, difference, operators


def test_token_types_go_into_the_position_table(text_graph: Callable[[str], Any]) -> None:
    untouched, rows = text_graph("cls")
    folded = copy(untouched)
    assert fold_token_types(folded)
    assert difference(untouched, folded, rows) < EXACT
    assert operators(folded)["Add"] == operators(untouched)["Add"] - 1
    assert not fold_token_types(folded)  # there is nothing left to fold
