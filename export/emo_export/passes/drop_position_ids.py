"""Exact rewrite: remove position ids that are 0, 1, 2, ..."""

import numpy as np
import onnx

from emo_export.onnx_graph import Graph, Node, prune

_POSITION_IDS = 8


def drop_position_ids(model: onnx.ModelProto) -> bool:
    """Remove the position ids input of ``EmbedLayerNormalization``, which has them as default.

    BERT slices them from a constant 0, 1, 2, ... with five small operators that compute the length
    of the text. The model is changed in place. Returns False if the ids are computed otherwise
    (RoBERTa), or if there are none.
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
    """True if the slice starts at 0 along axis 1 with step 1; its end is then the length."""
    start, axis = graph.constant(cut.input[1]), graph.constant(cut.input[3])
    step = graph.constant(cut.input[4]) if len(cut.input) > 4 else np.ones(1)
    values = [None if item is None else item.reshape(-1).tolist() for item in (start, axis, step)]
    return values == [[0], [1], [1]]
