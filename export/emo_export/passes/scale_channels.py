"""MatMul(x, W) -> MatMul(Mul(x, 1/s), s W), with one factor s for each channel of x.

Quantized activations have one step per tensor. A few large channels make it coarse for all others;
this rewrite moves their size into the weights, which have a step per column (SmoothQuant, Xiao et
al. 2023). Other consumers of x, such as the residual connection, still read x itself.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from emo_export.onnx_graph import Graph, Node, prune

Factors = NDArray[np.float32]


def scale_channels(model: onnx.ModelProto, factors: Mapping[str, Factors]) -> int:
    """Scale the inputs of products, in place; return the number of changed products.

    Args:
        model: A graph with ``MatMul`` and fused ``Attention`` nodes.
        factors: Factors s [channels] by the name of the tensor x that the products read.
    """
    graph = Graph(model)
    changed = 0
    for source, factor in factors.items():
        products = products_of(graph, source)
        if not products:
            continue
        scaled = f"{source}.scaled"
        inverse = graph.add_constant(f"{source}.inverse", (1 / factor).astype(np.float32))
        for node in products:
            weight = graph.constant(node.input[1])
            if weight is None:
                continue
            product = (weight * factor[:, np.newaxis]).astype(np.float32)
            node.input[1] = graph.add_constant(f"{node.output[0]}.weight", product)
            node.input[0] = scaled
            changed += 1
        first = next(i for i, node in enumerate(graph.nodes) if node is products[0])
        graph.nodes.insert(first, helper.make_node("Mul", [source, inverse], [scaled]))
    prune(model)
    return changed


def products_of(graph: Graph, source: str) -> list[Node]:
    """Return the products of ``source`` with constant weights [channels, columns], in order."""
    found = []
    for node in graph.readers.get(source, ()):
        if node.op_type not in {"MatMul", "Attention"} or node.input[0] != source:
            continue
        weight = graph.constant(node.input[1])
        if weight is not None and weight.ndim == 2:
            found.append(node)
    return found
