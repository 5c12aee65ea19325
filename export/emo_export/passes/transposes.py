"""f(Transpose(x)) -> Transpose(f(x)), and Transpose(Transpose(x)) -> x.

Element-wise operators commute with a transposition. Moved behind them, the transpositions around
a convolution module meet and cancel.
"""

from collections.abc import Sequence

import onnx
from onnx import helper

from emo_export.onnx_graph import Graph, Node, prune

_UNARY = frozenset({"Sigmoid", "Tanh", "Relu", "Erf", "Gelu", "QuickGelu"})
_BINARY = frozenset({"Mul", "Add"})


def cancel_transposes(model: onnx.ModelProto) -> int:
    """Move ``Transpose`` behind element-wise operators, cancel pairs; return the steps made."""
    steps = 0
    while _step(model):
        steps += 1
        prune(model)
    return steps


def _step(model: onnx.ModelProto) -> bool:
    graph = Graph(model)
    return any(_cancel(graph, node) or _move(graph, node) for node in list(graph.nodes))


def _cancel(graph: Graph, node: Node) -> bool:
    """Transpose(Transpose(x)) -> x."""
    if node.op_type != "Transpose":
        return False
    first = graph.made_by(node.input[0], "Transpose")
    if first is None:
        return False
    outer, inner = _perm(node), _perm(first)
    if [inner[place] for place in outer] != list(range(len(outer))):
        return False
    if node.output[0] in graph.outputs or not graph.readers.get(node.output[0]):
        return False
    graph.redirect(node.output[0], first.input[0])
    return True


def _move(graph: Graph, node: Node) -> bool:
    """Move the transpositions of all inputs behind the node."""
    if node.op_type in _UNARY:
        sources = [graph.made_by(node.input[0], "Transpose")]
    elif node.op_type in _BINARY:
        sources = [graph.made_by(name, "Transpose") for name in node.input]
    elif node.op_type == "Split":
        sources = [graph.made_by(node.input[0], "Transpose")]
    else:
        return False
    perms = [_perm(source) for source in sources if source is not None]
    if len(perms) != len(sources) or any(perm != perms[0] for perm in perms):
        return False
    if any(name in graph.outputs for name in node.output):
        return False
    for place, source in enumerate(sources):
        node.input[place] = source.input[0]  # type: ignore[union-attr]
    if node.op_type == "Split":
        [axis] = [item for item in node.attribute if item.name == "axis"]
        axis.i = perms[0][axis.i]
    made = []
    for place, name in enumerate(node.output):
        node.output[place] = f"{name}.before"
        made.append(helper.make_node("Transpose", [f"{name}.before"], [name], perm=perms[0]))
    graph.replace_node(node, [node_copy(node), *made])
    return True


def node_copy(node: Node) -> Node:
    """Return a copy: a node that was removed from its graph must not be inserted again."""
    other = onnx.NodeProto()
    other.CopyFrom(node)
    return other


def _perm(node: Node) -> Sequence[int]:
    [item] = [item for item in node.attribute if item.name == "perm"]
    return list(item.ints)
