"""Einsum(q, Gather(E, positions)) -> GatherElements(MatMul(q, E^T), positions).

The attention of Wav2Vec2-BERT adds ``q[l] . E[clamp(r - l)]`` to each score. The exporter gathers
E first, into a tensor [time, time, width] for each layer, although E has only 73 rows. Multiplied
first, the result has 73 columns for each query, and the gather picks scores instead of vectors.
The positions are the same in every layer and are computed once.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from emo_export.onnx_graph import Array, Graph, Node

_EQUATION = "bhld,lrd->bhlr"


def gather_relative_scores(model: onnx.ModelProto) -> int:
    """Rewrite each relative-key ``Einsum``, in place; return how many were rewritten."""
    graph = Graph(model)
    shared: str | None = None
    changed = 0
    for node in list(graph.nodes):
        found = _match(graph, node)
        if found is None:
            continue
        table, positions = found
        name = node.output[0]
        nodes: list[Node] = []
        if shared is None:
            shared, nodes = _positions(graph, positions, node.input[0])
        weight = graph.add_constant(f"{name}.table", np.ascontiguousarray(table.T))
        nodes += [
            helper.make_node("MatMul", [node.input[0], weight], [f"{name}.products"]),
            helper.make_node("GatherElements", [f"{name}.products", shared], [name], axis=-1),
        ]
        graph.replace_node(node, nodes)
        changed += 1
    return changed


def _match(graph: Graph, node: Node) -> tuple[Array, str] | None:
    """Return the table and the tensor of positions of a relative-key ``Einsum``."""
    if node.op_type != "Einsum" or _attribute(node, "equation") != _EQUATION:
        return None
    name = node.input[1]
    cast = graph.made_by(name, "Cast")
    gather = graph.made_by(name if cast is None else cast.input[0], "Gather")
    if gather is None or _attribute(gather, "axis") not in {None, 0}:
        return None
    table = graph.constant(gather.input[0])
    return None if table is None else (table, gather.input[1])


def _positions(graph: Graph, positions: str, query: str) -> tuple[str, list[Node]]:
    """Expand positions to [batch, heads, time, time]: GatherElements does not broadcast."""
    shape, leading, whole = (f"{positions}.{part}" for part in ("query", "leading", "shape"))
    time, expanded = f"{positions}.time", f"{positions}.expanded"
    two = graph.add_constant(f"{positions}.two", np.array([2], np.int64))
    start = graph.add_constant(f"{positions}.start", np.array([0], np.int64))
    axis = graph.add_constant(f"{positions}.axis", np.array([0], np.int64))
    return expanded, [
        helper.make_node("Shape", [query], [shape]),
        helper.make_node("Slice", [shape, start, two, axis], [leading]),
        helper.make_node("Shape", [positions], [time]),
        helper.make_node("Concat", [leading, time], [whole], axis=0),
        helper.make_node("Cast", [positions], [f"{positions}.int32"], to=TensorProto.INT32),
        helper.make_node("Expand", [f"{positions}.int32", whole], [expanded]),
    ]


def _attribute(node: Node, name: str) -> object:
    for item in node.attribute:
        if item.name == name:
            value = helper.get_attribute_value(item)
            return value.decode() if isinstance(value, bytes) else value
    return None
