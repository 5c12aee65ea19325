"""Exact rewrite: a classifier's graph from another exporter -> the inputs and outputs of a bundle.

``token_type_ids`` become zeros, because a transcript is one segment. ``position_ids`` become a
slice of the constant row 0, 1, 2, ... (RoBERTa's start later), which is the form that
``drop_position_ids`` knows. Outputs other than ``logits`` are removed.
"""

from typing import Any

import numpy as np
import onnx
from onnx import helper

from emo_export.onnx_graph import Graph, Node, prune
from emo_export.passes.fold_zero_rows import fold_zero_rows

_KEPT = ("input_ids", "attention_mask")
_OPSET = 17
_IR_VERSION = 8  # the IR version of the ONNX release with that opset


def use_bundle_inputs(model: onnx.ModelProto, *, labels: int, positions: range) -> None:
    """Give a classifier's graph the inputs and outputs of the graph contract, in place.

    An opset below 17 becomes 17: from 13 on, no operator of a text network changes its meaning.

    Args:
        model: a graph of standard operators with the output ``logits``.
        labels: number of labels.
        positions: position ids of the longest text.
    """
    graph = Graph(model)
    weights = set(graph.constants)
    given = {item.name: item for item in model.graph.input if item.name not in weights}
    new: list[Node] = []
    if "token_type_ids" in given:
        new += _zeros(graph)
    if "position_ids" in given:
        new += _counted(graph, positions)
    for place, node in enumerate(new):
        model.graph.node.insert(place, node)
    _keep(model.graph.input, _KEPT)
    _keep(model.graph.output, ("logits",))
    for item in model.graph.input:
        _set_dimensions(item, "batch", "tokens")
    _set_dimensions(model.graph.output[0], "batch", labels)
    for node in model.graph.node:
        node.domain = ""
    for item in model.opset_import:
        if item.domain in {"", "ai.onnx"}:
            item.domain, item.version = "", max(item.version, _OPSET)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    prune(model)
    fold_zero_rows(model)


def _zeros(graph: Graph) -> list[Node]:
    zero = helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0])
    shape = graph.free_name("token_type_ids.shape")
    return [
        helper.make_node("Shape", ["input_ids"], [shape]),
        helper.make_node("ConstantOfShape", [shape], ["token_type_ids"], value=zero),
    ]


def _counted(graph: Graph, positions: range) -> list[Node]:
    whole = graph.add_constant("position_ids.all", np.asarray(positions, np.int64)[np.newaxis])
    start, axis, step = (
        graph.add_constant(f"position_ids.{name}", np.array([value], np.int64))
        for name, value in (("start", 0), ("axis", 1), ("step", 1))
    )
    end = graph.free_name("position_ids.end")
    return [
        helper.make_node("Shape", ["input_ids"], [end], start=1),
        helper.make_node("Slice", [whole, start, end, axis, step], ["position_ids"]),
    ]


def _keep(items: Any, names: tuple[str, ...]) -> None:
    """Keep the entries of those names, in that order."""
    kept = {item.name: item for item in items}
    chosen = [kept[name] for name in names]
    del items[:]
    items.extend(chosen)


def _set_dimensions(item: Any, *dimensions: str | int) -> None:
    shape = item.type.tensor_type.shape
    del shape.dim[:]
    for size in dimensions:
        if isinstance(size, str):
            shape.dim.add().dim_param = size
        else:
            shape.dim.add().dim_value = size
