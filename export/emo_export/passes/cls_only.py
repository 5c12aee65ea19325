"""Exact rewrite: compute the last layer of a [CLS]-pooled classifier for the first token only.

Such a classifier reads one row of the last hidden state. Keys and values are needed for every
token; the query, and everything after the attention, only for the first.
"""

import numpy as np
import onnx
from onnx import helper

from emo_export.onnx_graph import CONTRIB, Graph, Node

# Operators that process each token independently.
_PER_TOKEN = frozenset(
    {"MatMul", "Add", "Mul", "Div", "Erf", "Gelu", "FastGelu", "LayerNormalization"}
)


def keep_cls_only(model: onnx.ModelProto) -> bool:
    """Reduce the last attention and the nodes after it to the first token, in place.

    ``model`` has fused ``Attention`` nodes. Returns False, with the model unchanged, if anything
    except a ``Gather`` of token 0 reads the last layer (mean pooling, an embedding output).
    """
    graph = Graph(model)
    attentions = [node for node in graph.nodes if node.op_type == "Attention"]
    if not attentions:
        return False
    last = attentions[-1]
    later = _read_by_cls_only(graph, last)
    weights = graph.constant(last.input[1])
    bias = graph.constant(last.input[2])
    if later is None or weights is None or bias is None or any(last.input[4:]):
        return False
    states = last.input[0]
    first = f"{states}.first"
    slices = [
        graph.add_constant(f"cls.{name}", np.array([value], np.int64))
        for name, value in (("start", 0), ("end", 1), ("axis", 1))
    ]
    nodes = [helper.make_node("Slice", [states, *slices], [first])]
    width = weights.shape[1] // 3
    for number, (part, source) in enumerate((("q", first), ("k", states), ("v", states))):
        columns = weights[:, number * width : (number + 1) * width]
        name = graph.add_constant(f"cls.{part}.weight", columns)
        nodes.append(helper.make_node("MatMul", [source, name], [f"{states}.{part}"]))
    inputs = [*(f"{states}.{part}" for part in "qkv"), last.input[2], last.input[3]]
    kept = {"num_heads", "mask_filter_value", "scale"}
    attention = helper.make_node("MultiHeadAttention", inputs, list(last.output), domain=CONTRIB)
    attention.attribute.extend(item for item in last.attribute if item.name in kept)
    graph.replace_node(last, [*nodes, attention])
    for node in later:
        for index, name in enumerate(node.input):
            if name == states:
                node.input[index] = first
    return True


def _read_by_cls_only(graph: Graph, attention: Node) -> list[Node] | None:
    """Return the nodes from the attention to the Gather of token 0; None with other consumers."""
    later: list[Node] = []
    reached = [attention.output[0]]
    inside = {attention.output[0], attention.input[0]}
    gathers = 0
    while reached:
        name = reached.pop()
        if name in graph.outputs:
            return None
        for node in graph.readers.get(name, []):
            if node.op_type == "Gather":
                if not _takes_first_token(graph, node):
                    return None
                gathers += 1
            elif node.op_type not in _PER_TOKEN:
                return None
            elif not any(node is other for other in later):
                later.append(node)
                reached.append(node.output[0])
                inside.add(node.output[0])
    computed = {name for node in later for name in node.input if graph.constant(name) is None}
    return later if gathers and computed <= inside else None


def _takes_first_token(graph: Graph, gather: Node) -> bool:
    axis = next((item.i for item in gather.attribute if item.name == "axis"), 0)
    index = graph.constant(gather.input[1])
    return axis == 1 and index is not None and index.ndim == 0 and int(index) == 0
