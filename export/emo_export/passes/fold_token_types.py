"""Exact rewrite: fold the only segment embedding in use into the position table."""

import numpy as np
import onnx
from onnx import numpy_helper

from emo_export.onnx_graph import Graph, Node, prune


def fold_token_types(model: onnx.ModelProto) -> bool:
    """Add the constant segment row to every row of the position table, in place.

    ``(word + row) + position[i]`` becomes ``word + (position + row)[i]``. Returns False if
    the graph has no such pattern (DistilBERT has no segments).
    """
    graph = Graph(model)
    for add in graph.nodes:
        if add.op_type != "Add" or graph.made_by(add.input[0], "Gather") is None:
            continue
        row = graph.constant(add.input[1])
        if row is None or row.ndim != 1:
            continue
        table = _position_table(graph, add)
        if table is None:
            continue
        value = np.asarray(numpy_helper.to_array(graph.constants[table])) + row
        graph.constants[table].CopyFrom(numpy_helper.from_array(value, table))
        graph.redirect(add.output[0], add.input[0])
        prune(model)
        return True
    return False


def _position_table(graph: Graph, add: Node) -> str | None:
    """Return the table whose rows are added next, if it and the sum have no other consumer."""
    readers = graph.readers.get(add.output[0], [])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    for name in readers[0].input:
        gather = graph.made_by(name, "Gather")
        if gather is not None and name != add.output[0]:
            table = str(gather.input[0])
            if table in graph.constants and len(graph.readers[table]) == 1:
                return table
    return None
