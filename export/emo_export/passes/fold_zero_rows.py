"""Exact rewrite: rows of a constant table at indices that are always 0 -> its row 0.

The segment embedding of one segment: ``Gather(table, zeros) + x`` becomes ``row + x``, which
``fold_token_types`` adds to the position table.
"""

import onnx
from onnx import numpy_helper

from emo_export.onnx_graph import Graph, Node, prune

# Operators whose elements are elements of their first input.
_SELECTING = frozenset(
    {"Cast", "Expand", "Flatten", "Gather", "GatherElements", "Identity", "Reshape", "Slice",
     "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)  # fmt: skip


def fold_zero_rows(model: onnx.ModelProto) -> int:
    """Replace such a ``Gather`` that only ``Add`` reads, in place.

    Returns:
        The number of replaced nodes.
    """
    graph = Graph(model)
    folded = 0
    for node in list(graph.nodes):
        if node.op_type != "Gather" or node.output[0] in graph.outputs or _axis(node) != 0:
            continue
        table = graph.constant(node.input[0])
        readers = graph.readers.get(node.output[0], [])
        added = all(
            reader.op_type == "Add" and reader.input[0] != reader.input[1] for reader in readers
        )
        if table is None or table.ndim != 2 or not added or not _is_zero(graph, node.input[1]):
            continue
        row = graph.add_constant(f"{node.output[0]}.row", table[0])
        for reader in readers:
            # The constant second, as fold_token_types reads it.
            other = next(name for name in reader.input if name != node.output[0])
            reader.input[0], reader.input[1] = other, row
        folded += 1
    if folded:
        prune(model)
    return folded


def _is_zero(graph: Graph, name: str) -> bool:
    """True if every element of a tensor is 0, whatever the inputs are."""
    value = graph.constant(name)
    if value is not None:
        return not value.any()
    node = graph.maker.get(name)
    if node is None:
        return False
    if node.op_type == "ConstantOfShape":
        return not any(numpy_helper.to_array(item.t).any() for item in node.attribute)
    return node.op_type in _SELECTING and _is_zero(graph, node.input[0])


def _axis(node: Node) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "axis"), 0)
