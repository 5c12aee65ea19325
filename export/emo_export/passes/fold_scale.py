"""Mul(Add(MatMul(x, W), b), c) -> Add(MatMul(x, cW), cb), and the same for Div by a constant.

Macaron feed-forward layers halve their result, and attention divides its scores by the square root
of the head's width. Both constants can be folded into the weights.
"""

import numpy as np
import onnx

from emo_export.onnx_graph import Array, Graph, Node


def fold_scales(model: onnx.ModelProto) -> int:
    """Fold constant factors into the product before them, in place; return their number."""
    changed = 0
    while _fold_one(model):
        changed += 1
    return changed


def _fold_one(model: onnx.ModelProto) -> bool:
    graph = Graph(model)
    for node in graph.nodes:
        factor = _factor(graph, node)
        if factor is None:
            continue
        scale, source = factor
        add = graph.made_by(source, "Add")
        product = graph.made_by(source, "MatMul")
        if len(graph.readers[source]) != 1 or source in graph.outputs:
            continue
        if add is not None:
            bias_place = next((i for i in (0, 1) if graph.constant(add.input[i]) is not None), None)
            if bias_place is None:
                continue
            inner = add.input[1 - bias_place]
            product = graph.made_by(inner, "MatMul")
            if product is None or len(graph.readers[inner]) != 1 or not _foldable(graph, product):
                continue
            bias = graph.constant(add.input[bias_place])
            add.input[bias_place] = _scaled(graph, add.input[bias_place], bias, scale)
        elif product is None or not _foldable(graph, product):
            continue
        weight = graph.constant(product.input[1])
        product.input[1] = _scaled(graph, product.input[1], weight, scale)
        graph.redirect(node.output[0], source)
        if node.output[0] in graph.outputs:
            continue
        model.graph.node.remove(node)
        return True
    return False


def _factor(graph: Graph, node: Node) -> tuple[np.float32, str] | None:
    """Return the constant factor of a ``Mul`` or ``Div``, and the tensor that it scales."""
    if node.op_type not in {"Mul", "Div"} or node.output[0] in graph.outputs:
        return None
    places = (1,) if node.op_type == "Div" else (0, 1)
    for place in places:
        value = graph.constant(node.input[place])
        if value is not None and value.size == 1 and value.dtype == np.float32:
            number = np.float32(value.reshape(()))
            return (1 / number if node.op_type == "Div" else number), node.input[1 - place]
    return None


def _foldable(graph: Graph, product: Node) -> bool:
    return graph.constant(product.input[1]) is not None


def _scaled(graph: Graph, name: str, value: Array | None, scale: np.float32) -> str:
    if value is None:
        raise ValueError(f"{name} is not constant")
    return graph.add_constant(f"{name}.scaled", (value * scale).astype(np.float32))
