"""Exact rewrite: no position ids where they are just 0, 1, 2, ..."""

import numpy as np
import onnx

from emo_export.onnx_graph import Graph, Node, prune

_POSITION_IDS = 8


def drop_position_ids(model: onnx.ModelProto) -> bool:
    """Take the position ids from ``EmbedLayerNormalization``, which counts by itself; in place.

    BERT cuts them out of a constant 0, 1, 2, ... of which the graph needs the length of the text:
    five small operators. False where they are computed otherwise (RoBERTa), or there are none.
    """
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type == "EmbedLayerNormalization" and len(node.input) > _POSITION_IDS:
            if not _counts_from_zero(graph, node.input[_POSITION_IDS]):
                return False
            del node.input[_POSITION_IDS]
            while not node.input[-1]:
                del node.input[-1]
            prune(model)
            return True
    return False


def _counts_from_zero(graph: Graph, name: str) -> bool:
    cast = graph.made_by(name, "Cast")
    cut = graph.made_by(name if cast is None else cast.input[0], "Slice")
    return cut is not None and _is_range(graph, cut) and _starts_at_zero(graph, cut)


def _is_range(graph: Graph, cut: Node) -> bool:
    whole = graph.constant(cut.input[0])
    return whole is not None and np.array_equal(whole, np.arange(whole.size)[np.newaxis])


def _starts_at_zero(graph: Graph, cut: Node) -> bool:
    """Starts at 0 along axis 1, in steps of 1: what it ends with is then the length asked for."""
    start, axis = graph.constant(cut.input[1]), graph.constant(cut.input[3])
    step = graph.constant(cut.input[4]) if len(cut.input) > 4 else np.ones(1)
    values = [None if item is None else item.reshape(-1).tolist() for item in (start, axis, step)]
    return values == [[0], [1], [1]]
