"""The optimized graph in standard operators: the same numbers, nothing of ONNX Runtime's own."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import CONTRIB, copy
from emo_export.passes.decompose_contrib import in_standard_operators
from emo_export.passes.optimize import optimize_text
from emo_export.torch_export import graph

Load = Callable[..., Checkpoints]
EXACT = 1e-5


@pytest.mark.parametrize("kind", ["cls", "mean", "shared"])
def test_standard_operators_answer_alike(
    maker: Any, loaded: Load, few: Evaluation, kind: str
) -> None:
    text = maker.text("cls" if kind == "shared" else kind)
    checkpoints = loaded(text, None, maker.fusion(text) if kind == "shared" else None)
    untouched = graph(checkpoints)["text"]
    standard = optimize_text(untouched, heads=4, hidden=64, embedding_fused=False)
    in_standard_operators(standard)
    assert {node.domain for node in standard.graph.node} <= {"", "ai.onnx"}
    onnx.checker.check_model(standard)
    rows = token_ids(checkpoints.text, few.texts, strip=False)
    assert difference(untouched, standard, rows) < EXACT
    found = Counter(node.op_type for node in standard.graph.node)
    assert found["Softmax"] == 2
    assert found["Slice"] == 1 + (kind == "cls")  # positions; the first token of the last layer
    assert sum(found.values()) < len(untouched.graph.node) / 2


def difference(one: onnx.ModelProto, other: onnx.ModelProto, rows: list[Any]) -> float:
    """Return the largest difference of any output, for a padded batch and for a single row."""
    sessions = [GraphSession(model, plain=True) for model in (one, other)]
    longest = max(len(ids) for ids in rows)
    padded = [np.pad(ids, (0, longest - len(ids))) for ids in rows]
    masks = [np.pad(np.ones_like(ids), (0, longest - len(ids))) for ids in rows]
    batches = [session.run(input_ids=np.stack(padded), attention_mask=np.stack(masks))
               for session in sessions]  # fmt: skip
    alone = [session.text(rows[0]) for session in sessions]
    pairs = (batches, alone)
    return max(float(np.abs(a[name] - b[name]).max()) for a, b in pairs for name in a)


def test_an_operator_without_a_standard_form_is_refused(maker: Any, loaded: Load) -> None:
    model = optimize_text(
        graph(loaded(maker.text("mean")))["text"], heads=4, hidden=64, embedding_fused=False
    )
    changed = copy(model)
    changed.graph.node.append(helper.make_node("QuickGelu", ["logits"], ["other"], domain=CONTRIB))
    with pytest.raises(ValueError, match=r"no standard form of QuickGelu \(other\)"):
        in_standard_operators(changed)
