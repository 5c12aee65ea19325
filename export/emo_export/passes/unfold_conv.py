"""Conv -> Transpose, Pad, Slice for each tap, Concat, MatMul, Add, Transpose.

A one-dimensional convolution without groups is a matrix product over the values under its kernel.
In that form it can be quantized; ONNX Runtime's ``ConvInteger`` is slower than the float32
convolution.
"""

import numpy as np
import onnx
from onnx import helper

from emo_export.onnx_graph import Array, Graph, Node

_SWAP = [0, 2, 1]
_END = np.iinfo(np.int64).max
# Wider kernels are faster as a convolution: unfolding copies their inputs for each position.
_MAX_KERNEL = 8
_MIN_INPUTS = 16


def unfold_convolutions(model: onnx.ModelProto) -> int:
    """Rewrite each small one-dimensional ``Conv``, in place; return how many were rewritten."""
    graph = Graph(model)
    changed = 0
    for node in list(graph.nodes):
        weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or not _fits(node, weight):
            continue
        graph.replace_node(node, _unfolded(graph, node, weight))
        changed += 1
    return changed


def _fits(node: Node, weight: Array) -> bool:
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return (
        weight.ndim == 3
        and 1 < weight.shape[2] <= _MAX_KERNEL
        and weight.shape[1] >= _MIN_INPUTS
        and settings.get("group", 1) == 1
        and list(settings.get("dilations", [1])) == [1]
        and settings.get("auto_pad", b"NOTSET") in {b"NOTSET", b"VALID"}
    )


def _unfolded(graph: Graph, node: Node, weight: Array) -> list[Node]:
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    [stride] = settings.get("strides", [1])
    before, after = settings.get("pads", [0, 0])
    outputs, inputs, taps = weight.shape
    name = node.output[0]
    rows = f"{name}.rows"
    nodes = [helper.make_node("Transpose", [node.input[0]], [rows], perm=_SWAP)]
    if before or after:
        pads = graph.add_constant(f"{name}.pads", np.array([0, before, 0, 0, after, 0], np.int64))
        nodes.append(helper.make_node("Pad", [rows, pads], [f"{name}.padded"]))
        rows = f"{name}.padded"
    axis = graph.add_constant(f"{name}.axis", np.array([1], np.int64))
    step = graph.add_constant(f"{name}.step", np.array([stride], np.int64))
    parts = []
    for tap in range(taps):
        # The last tap of the last position ends at the end of the sound.
        start = graph.add_constant(f"{name}.start{tap}", np.array([tap], np.int64))
        left = tap - taps + 1
        end = graph.add_constant(f"{name}.end{tap}", np.array([left or _END], np.int64))
        parts.append(f"{name}.tap{tap}")
        nodes.append(helper.make_node("Slice", [rows, start, end, axis, step], [parts[-1]]))
    matrix = np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(taps * inputs, outputs))
    nodes += [
        helper.make_node("Concat", parts, [f"{name}.unfolded"], axis=2),
        helper.make_node(
            "MatMul",
            [f"{name}.unfolded", graph.add_constant(f"{name}.weight", matrix)],
            [f"{name}.product"],
        ),
    ]
    last = f"{name}.product"
    if len(node.input) == 3:
        nodes.append(helper.make_node("Add", [last, node.input[2]], [f"{name}.biased"]))
        last = f"{name}.biased"
    return [*nodes, helper.make_node("Transpose", [last], [name], perm=_SWAP)]
