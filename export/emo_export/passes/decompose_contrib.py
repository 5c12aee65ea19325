"""Exact rewrite: decompose the contrib operators of a text graph into standard operators.

ONNX Runtime's fusions identify the attention, and thus the parts of the last layer that can be
skipped. Other engines have their own fusions, which match the standard form. Therefore the fused
operators are decomposed again, without the shape arithmetic that an exporter adds.
"""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from emo_export.onnx_graph import CONTRIB, Graph, Node, prune
from emo_export.passes.attention import emit_mask_bias


def in_standard_operators(model: onnx.ModelProto) -> None:
    """Decompose the ``com.microsoft`` operators of a text graph, in place.

    Raises:
        ValueError: an operator that ``optimize_text`` does not create with an unfused embedding.
    """
    graph = Graph(model)
    for node in list(graph.nodes):
        if node.domain != CONTRIB:
            continue
        match node.op_type:
            case "Gelu":
                nodes = _gelu(graph, node)
            case "Attention" if not any(node.input[4:]):
                nodes = _attention(graph, node)
            case "MultiHeadAttention" if not any(node.input[5:]):
                bias, mask = _value(graph, node.input[3]), node.input[4]
                nodes = _heads(graph, node, list(node.input[:3]), bias, mask)
            case _:
                raise ValueError(f"no standard form of {node.op_type} ({node.output[0]}) is known")
        graph.replace_node(node, nodes)
    _constants_to_initializers(graph)
    prune(model)


def _constants_to_initializers(graph: Graph) -> None:
    """Turn constants into initializers: NNCF finds the table of a ``Gather`` only there."""
    for node in [node for node in graph.nodes if node.op_type == "Constant"]:
        value = graph.constant(node.output[0])
        if value is not None:
            graph.nodes.remove(node)
            graph.model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))


def _gelu(graph: Graph, node: Node) -> list[Node]:
    """Return 0.5 x (1 + erf(x / sqrt 2)), in the order of operators that engines match."""
    source, name = node.input[0], node.output[0]
    root, one, half = (
        graph.add_constant(f"{name}.{kind}", np.array(value, np.float32))
        for kind, value in (("root", math.sqrt(2)), ("one", 1.0), ("half", 0.5))
    )
    scaled, error, raised, product = (
        f"{name}.{part}" for part in ("scaled", "error", "raised", "product")
    )
    return [
        helper.make_node("Div", [source, root], [scaled]),
        helper.make_node("Erf", [scaled], [error]),
        helper.make_node("Add", [error, one], [raised]),
        helper.make_node("Mul", [source, raised], [product]),
        helper.make_node("Mul", [product, half], [name]),
    ]


def _attention(graph: Graph, node: Node) -> list[Node]:
    """Split the single product of queries, keys and values into three."""
    states, name = node.input[0], node.output[0]
    weights = np.split(_value(graph, node.input[1]), 3, axis=1)
    nodes, sources = [], []
    for part, weight in zip("qkv", weights, strict=True):
        constant = graph.add_constant(f"{name}.{part}.weight", weight)
        sources.append(f"{name}.{part}")
        nodes.append(helper.make_node("MatMul", [states, constant], [sources[-1]]))
    mask = node.input[3] if len(node.input) > 3 else ""
    return nodes + _heads(graph, node, sources, _value(graph, node.input[2]), mask)


def _heads(
    graph: Graph, node: Node, sources: list[str], bias: NDArray[np.float32], mask: str
) -> list[Node]:
    """Scaled dot products of queries, keys and values [batch, tokens, hidden], head by head."""
    name = node.output[0]
    settings = {item.name: item for item in node.attribute}
    heads, hidden = settings["num_heads"].i, len(bias) // 3
    scale = settings["scale"].f if "scale" in settings else (hidden // heads) ** -0.5
    split = graph.add_constant(f"{name}.split", np.array([0, 0, heads, hidden // heads]))
    join = graph.add_constant(f"{name}.join", np.array([0, 0, hidden]))
    factor = graph.add_constant(f"{name}.factor", np.array(scale, np.float32))
    nodes = []
    for part, source, own in zip("qkv", sources, np.split(bias, 3), strict=True):
        constant = graph.add_constant(f"{name}.{part}.bias", own)
        biased, cut, turned = (f"{name}.{part}.{step}" for step in ("biased", "cut", "turned"))
        order = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
        nodes += [
            helper.make_node("Add", [source, constant], [biased]),
            helper.make_node("Reshape", [biased, split], [cut]),
            helper.make_node("Transpose", [cut], [turned], perm=order),
        ]
    query, key, value = (f"{name}.{part}.turned" for part in "qkv")
    products, scores, shares, met, turned = (
        f"{name}.{step}" for step in ("products", "scores", "shares", "met", "turned")
    )
    nodes += [
        helper.make_node("MatMul", [query, key], [products]),
        helper.make_node("Mul", [products, factor], [scores]),
    ]
    if mask:
        nodes += emit_mask_bias(graph, node, mask)
        scores = f"{scores}.masked"
        nodes.append(helper.make_node("Add", [f"{name}.scores", f"{mask}.penalty"], [scores]))
    return [
        *nodes,
        helper.make_node("Softmax", [scores], [shares], axis=-1),
        helper.make_node("MatMul", [shares, value], [met]),
        helper.make_node("Transpose", [met], [turned], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [turned, join], [name]),
    ]


def _value(graph: Graph, name: str) -> NDArray[np.float32]:
    value = graph.constant(name)
    if value is None:
        raise ValueError(f"{name} is computed, not a constant")
    return value
