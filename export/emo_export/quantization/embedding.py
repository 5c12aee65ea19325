"""Row-wise int8 quantization of word tables and of tables of positions.

Per-tensor quantization of the table, as in ONNX Runtime's tool, causes most of the error of an int8
graph: one large row determines the step of all rows. With one scale per row, the table is still a
quarter of the size. It is only looked up, never multiplied, so the full int8 range is used.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emo_export.onnx_graph import Graph, Node, prune, size_bytes
from emo_export.quantization.dynamic import quantize_channels

# Below this size a graph keeps its table in float32: the memory saved does not matter.
SMALL_BYTES = 15_000_000
WORD_TABLE = "the word table"
_LIMIT = 127
_LARGE_TABLE_BYTES = 1 << 16


def is_large(model: onnx.ModelProto) -> bool:
    """True if the graph with its word table in float32 is larger than ``SMALL_BYTES``."""
    graph = Graph(model)
    table = sum(_size_bytes(graph, node.input[0]) for node in _word_lookups(graph))
    return table + (size_bytes(model) - table) / 4 > SMALL_BYTES


def has_word_table(model: onnx.ModelProto) -> bool:
    """True if ``quantize_rows`` would find a word table."""
    return bool(_word_lookups(Graph(model)))


def quantize_rows(model: onnx.ModelProto) -> bool:
    """Quantize the word table to int8 by rows, in place; return False without a word table.

    The embedding must be unfused: ``Gather`` of the table, then ``Add`` and the layer norm.
    """
    graph = Graph(model)
    for gather in _word_lookups(graph):
        table = graph.constant(gather.input[0])
        if table is None:
            continue
        _replace_rows(graph, gather, table)
        prune(model)
        return True
    return False


def quantize_positions(model: onnx.ModelProto) -> bool:
    """Quantize a table of positional embeddings to int8 by rows, in place; False without one.

    The table is a constant from which the graph slices the first rows, one per input position.
    """
    graph = Graph(model)
    changed = False
    for node in list(graph.nodes):
        table = graph.constant(node.input[0]) if node.op_type == "Slice" else None
        if table is None or table.ndim != 2 or table.dtype != np.float32:
            continue
        if table.nbytes < _LARGE_TABLE_BYTES:
            continue
        _replace_rows(graph, node, table)
        changed = True
    prune(model)
    return changed


def _replace_rows(graph: Graph, node: Node, table: NDArray[Any]) -> None:
    """Replace a Gather or Slice of the rows of a table by the same of int8 rows and their steps."""
    quantized = quantize_channels(table.T, _LIMIT)
    [name] = node.output
    rows = graph.add_constant(f"{name}.rows", quantized.values.T)
    steps = graph.add_constant(f"{name}.steps", quantized.scales[:, np.newaxis])
    whole, floats, step = f"{name}.int8", f"{name}.float", f"{name}.step"
    graph.replace_node(
        node,
        [
            helper.make_node(node.op_type, [rows, *node.input[1:]], [whole]),
            helper.make_node(node.op_type, [steps, *node.input[1:]], [step]),
            helper.make_node("Cast", [whole], [floats], to=TensorProto.FLOAT),
            helper.make_node("Mul", [floats, step], [name]),
        ],
    )


def _word_lookups(graph: Graph) -> list[Node]:
    """Return the lookups of a float table by the graph input."""
    return [
        node
        for node in graph.nodes
        if node.op_type == "Gather"
        and node.input[0] in graph.constants
        and node.input[1] == "input_ids"
        and len(graph.constants[node.input[0]].dims) == 2
        and graph.constants[node.input[0]].data_type == TensorProto.FLOAT
    ]


def _size_bytes(graph: Graph, name: str) -> int:
    return int(graph.constants[name].ByteSize())
