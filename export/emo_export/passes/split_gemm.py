"""Exact rewrite: large ``Gemm`` -> ``MatMul`` and ``Add``, the form that can be quantized.

The pooler of a stock BERT classifier is such a ``Gemm``: 2.4 MB of float32 at BETO's size, read for
every prediction. In float32, ONNX Runtime fuses the two again when it loads the graph.
"""

import numpy as np
import onnx
from onnx import helper

from emo_export.onnx_graph import Graph

# Number of weights; below it, int8 saves less time than its two extra nodes cost.
LARGE = 1 << 16


def split_large_gemms(model: onnx.ModelProto) -> int:
    """Split each ``Gemm`` of a large constant weight and a bias, in place; return their number."""
    graph = Graph(model)
    changed = 0
    for node in list(graph.nodes):
        if node.op_type != "Gemm" or len(node.input) != 3:
            continue
        weight = graph.constant(node.input[1])
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        transposed = settings.pop("transB", 0)
        plain = all(settings.get(name, 1.0) == 1.0 for name in ("alpha", "beta"))
        if weight is None or weight.size < LARGE or settings.get("transA") or not plain:
            continue
        matrix = np.ascontiguousarray(weight.T if transposed else weight)
        product = f"{node.output[0]}.product"
        graph.replace_node(
            node,
            [
                helper.make_node(
                    "MatMul",
                    [node.input[0], graph.add_constant(f"{node.output[0]}.weight", matrix)],
                    [product],
                ),
                helper.make_node("Add", [product, node.input[2]], list(node.output)),
            ],
        )
        changed += 1
    return changed
