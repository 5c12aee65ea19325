"""Attention of an int8 graph: the standard operator, after one product for all heads.

ONNX Runtime's ``QAttention`` gives bit-identical results, but multiplies head by head, 64 columns
at a time, and is up to 3 % slower (docs/performance.md). The standard operator needs opset 23.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from emo_export.onnx_graph import Graph, Node

_OPSET = 23
_IR_VERSION = 11  # the IR version of the ONNX release with that opset
_MASK_FILTER = -10_000.0


def emit_attention(graph: Graph, node: Node, product: str) -> list[Node]:
    """Return the nodes that follow the ``product`` [batch, tokens, 3 * hidden] of an ``Attention``.

    Raises the graph's opset to 23 if it is lower.

    Raises:
        ValueError: causal attention, or inputs other than a mask.
    """
    settings = {item.name: item for item in node.attribute}
    backwards = "unidirectional" in settings and settings["unidirectional"].i
    if backwards or any(node.input[4:]):
        raise ValueError(f"no standard form of this Attention ({node.output[0]}) is known")
    name = node.output[0]
    biased, query, key, value = (f"{name}.{part}" for part in ("biased", "q", "k", "v"))
    inputs, nodes = [query, key, value], []
    if mask := node.input[3] if len(node.input) > 3 else "":
        inputs.append(f"{mask}.penalty.whole")
        nodes = _whole_penalty(graph, node, mask)
    heads = settings["num_heads"].i
    attention = helper.make_node("Attention", inputs, [name], q_num_heads=heads, kv_num_heads=heads)
    if "scale" in settings:
        attention.attribute.append(settings["scale"])
    _raise_opset(graph.model)
    return [
        *nodes,
        helper.make_node("Add", [product, node.input[2]], [biased]),
        helper.make_node("Split", [biased], [query, key, value], axis=2, num_outputs=3),
        attention,
    ]


def emit_mask_bias(graph: Graph, node: Node, mask: str) -> list[Node]:
    """Return the nodes of ``{mask}.penalty`` [batch, 1, 1, tokens]; none if it already exists.

    The penalty is added to the attention scores: 0 where the mask [batch, tokens] is 1, else the
    node's filter value.
    """
    name = f"{mask}.penalty"
    if name in graph.maker:
        return []
    settings = {item.name: item for item in node.attribute}
    filtered = settings["mask_filter_value"].f if "mask_filter_value" in settings else _MASK_FILTER
    floats, inverse, flat = (f"{mask}.{part}" for part in ("float", "inverse", "flat"))
    one = graph.add_constant(f"{mask}.one", np.array(1.0, np.float32))
    factor = graph.add_constant(f"{mask}.filter", np.array(filtered, np.float32))
    axes = graph.add_constant(f"{mask}.axes", np.array([1, 2]))
    nodes = [
        helper.make_node("Cast", [mask], [floats], to=TensorProto.FLOAT),
        helper.make_node("Sub", [one, floats], [inverse]),
        helper.make_node("Mul", [inverse, factor], [flat]),
        helper.make_node("Unsqueeze", [flat, axes], [name]),
    ]
    graph.maker[name] = nodes[-1]
    return nodes


def _whole_penalty(graph: Graph, node: Node, mask: str) -> list[Node]:
    """Return the nodes of ``{mask}.penalty.whole`` [batch, 1, tokens, tokens]; none if it exists.

    The kernel needs a row for each query. With a single row, ONNX Runtime 1.23 reads out of bounds,
    and 1.32 raises an error.
    """
    name = f"{mask}.penalty.whole"
    if name in graph.maker:
        return []
    one = graph.add_constant(f"{mask}.whole.one", np.array([1]))
    tokens, shape = f"{mask}.tokens", f"{mask}.whole.shape"
    nodes = [
        *emit_mask_bias(graph, node, mask),
        helper.make_node("Shape", [mask], [tokens], start=1),
        helper.make_node("Concat", [tokens, one], [shape], axis=0),
        helper.make_node("Expand", [f"{mask}.penalty", shape], [name]),
    ]
    graph.maker[name] = nodes[-1]
    return nodes


def _raise_opset(model: onnx.ModelProto) -> None:
    """Raise the opset to 23, in place.

    Operators that ``optimize_text`` leaves next to an attention have the same semantics there.
    """
    model.ir_version = max(model.ir_version, _IR_VERSION)
    for item in model.opset_import:
        if item.domain == "":
            item.version = max(item.version, _OPSET)
