"""Conv of kernel 1 -> Transpose, MatMul, Add, Transpose.

A pointwise convolution over [batch, channels, time] is a matrix product over the channels. In that
form it can be quantized like every other product. The transposes cancel with adjacent ones: see
``transposes``.
"""

import numpy as np
import onnx
from onnx import helper

from emo_export.onnx_graph import Graph, Node

_SWAP = [0, 2, 1]


def multiply_pointwise(model: onnx.ModelProto) -> int:
    """Rewrite each one-dimensional ``Conv`` of kernel 1, in place; return their number."""
    graph = Graph(model)
    changed = 0
    for node in list(graph.nodes):
        weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or weight.ndim != 3 or weight.shape[2] != 1 or not _is_plain(node):
            continue
        name = node.output[0]
        matrix = np.ascontiguousarray(weight[:, :, 0].T)
        nodes = [
            helper.make_node("Transpose", [node.input[0]], [f"{name}.rows"], perm=_SWAP),
            helper.make_node(
                "MatMul",
                [f"{name}.rows", graph.add_constant(f"{name}.weight", matrix)],
                [f"{name}.product"],
            ),
        ]
        last = f"{name}.product"
        if len(node.input) == 3:
            nodes.append(helper.make_node("Add", [last, node.input[2]], [f"{name}.biased"]))
            last = f"{name}.biased"
        nodes.append(helper.make_node("Transpose", [last], [name], perm=_SWAP))
        graph.replace_node(node, nodes)
        changed += 1
    return changed


def _is_plain(node: Node) -> bool:
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return (
        settings.get("group", 1) == 1
        and list(settings.get("strides", [1])) == [1]
        and list(settings.get("pads", [0, 0])) == [0, 0]
        and settings.get("auto_pad", b"NOTSET") in {b"NOTSET", b"VALID"}
    )
