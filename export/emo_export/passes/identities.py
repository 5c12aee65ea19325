"""Identity(x) -> x, so that other rewrites recognize weights that several layers share."""

import onnx

from emo_export.onnx_graph import Graph, prune


def inline_identities(model: onnx.ModelProto) -> int:
    """Remove each ``Identity`` that is not a graph output, in place; return their number."""
    changed = 0
    for node in [node for node in model.graph.node if node.op_type == "Identity"]:
        graph = Graph(model)
        if node.output[0] not in graph.outputs:
            graph.redirect(node.output[0], node.input[0])
            changed += 1
    prune(model)
    return changed
