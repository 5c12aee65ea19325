"""Mul(x, Sigmoid(x)) -> QuickGelu(x) with alpha 1: one pass over memory instead of two."""

import onnx
from onnx import helper

from emo_export.onnx_graph import CONTRIB, Graph


def fuse_silu(model: onnx.ModelProto) -> int:
    """Fuse each SiLU (swish) activation, in place; return how many were fused."""
    graph = Graph(model)
    changed = 0
    for node in list(graph.nodes):
        if node.op_type != "Mul":
            continue
        for source, gate in (tuple(node.input), tuple(reversed(node.input))):
            sigmoid = graph.made_by(gate, "Sigmoid")
            if sigmoid is not None and sigmoid.input[0] == source:
                fused = helper.make_node(
                    "QuickGelu", [source], list(node.output), domain=CONTRIB, alpha=1.0
                )
                graph.replace_node(node, [fused])
                changed += 1
                break
    if changed and not any(item.domain == CONTRIB for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    return changed
