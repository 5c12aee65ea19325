"""Compare two graphs of a text model, and count the operators of one."""

from collections import Counter
from typing import Any

import numpy as np
import onnx

from emo_export.evaluation.session import GraphSession

EXACT = 1e-5


def difference(one: onnx.ModelProto, other: onnx.ModelProto, rows: list[Any]) -> float:
    """Largest difference of any output over rows of different lengths, padded ones included."""
    sessions = [GraphSession(model, plain=True) for model in (one, other)]
    longest = max(len(ids) for ids in rows)
    batch = {
        "input_ids": np.stack([np.pad(ids, (0, longest - len(ids))) for ids in rows]),
        "attention_mask": np.stack(
            [np.pad(np.ones_like(ids), (0, longest - len(ids))) for ids in rows]
        ),
    }
    found = [session.run(**batch) for session in sessions]
    found += [session.text(rows[0]) for session in sessions]
    pairs = [(found[0], found[1]), (found[2], found[3])]
    return max(float(np.abs(a[name] - b[name]).max()) for a, b in pairs for name in a)


def operators(model: onnx.ModelProto) -> Counter[str]:
    """Return how often each operator occurs."""
    return Counter(node.op_type for node in model.graph.node)
