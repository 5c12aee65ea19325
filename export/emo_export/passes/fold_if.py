"""Exact rewrite: ``If`` whose condition is the same for every shape -> the branch it takes.

DeBERTa compares the lengths of queries and keys, which are equal in self-attention, and tracing
writes an ``If`` wherever it does not know a dimension that is always 1.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import Node, copy, prune
from emo_models.errors import CheckpointError

# [batch, tokens] of the inputs on which the conditions are computed.
_SHAPES = ((1, 1), (1, 2), (2, 7), (3, 16))


def fold_ifs(model: onnx.ModelProto) -> int:
    """Replace every ``If`` of a text graph with the branch that it always takes, in place.

    Returns:
        The number of nodes replaced, including those inside branches.

    Raises:
        CheckpointError: a condition depends on the shape of the input.
    """
    folded = 0
    while nodes := [node for node in model.graph.node if node.op_type == "If"]:
        for node, taken in zip(nodes, _conditions(model, nodes), strict=True):
            _inline(model.graph, node, taken, f"if{folded}")
            folded += 1
    if folded:
        prune(model)
    return folded


def _conditions(model: onnx.ModelProto, nodes: list[Node]) -> list[bool]:
    probe = copy(model)
    names = [node.input[0] for node in nodes]
    known = {output.name for output in probe.graph.output}
    for name in dict.fromkeys(names):
        if name not in known:
            probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.BOOL, None))
    session = GraphSession(probe, plain=True)
    found = []
    for shape in _SHAPES:
        ids = np.ones(shape, np.int64)
        values = session.run(input_ids=ids, attention_mask=ids)
        found.append([bool(np.asarray(values[name]).all()) for name in names])
    for number, node in enumerate(nodes):
        if len({row[number] for row in found}) > 1:
            raise CheckpointError(
                f"the exported graph branches on the length of the text (node {node.name}), which "
                "the runtime does not run. Use another architecture."
            )
    return found[0]


def _inline(graph: Any, node: Node, taken: bool, prefix: str) -> None:
    wanted = "then_branch" if taken else "else_branch"
    branch = next(item.g for item in node.attribute if item.name == wanted)
    names = {
        made: f"{prefix}.{made}"
        for made in (
            *(name for inner in branch.node for name in inner.output),
            *(tensor.name for tensor in branch.initializer),
        )
    }
    new = []
    for inner in branch.node:
        moved = onnx.NodeProto()
        moved.CopyFrom(inner)
        _rename(moved, names)
        new.append(moved)
    for tensor in branch.initializer:
        moved_tensor = onnx.TensorProto()
        moved_tensor.CopyFrom(tensor)
        moved_tensor.name = names[tensor.name]
        graph.initializer.append(moved_tensor)
    for output, result in zip(branch.output, node.output, strict=True):
        source = names.get(output.name, output.name)
        new.append(helper.make_node("Identity", [source], [result]))
    position = next(i for i, other in enumerate(graph.node) if other is node or other == node)
    graph.node.remove(node)
    for offset, moved in enumerate(new):
        graph.node.insert(position + offset, moved)


def _rename(node: Node, names: dict[str, str]) -> None:
    """Rename the tensors that the branch produces, including those in nested branches."""
    node.name = ""
    for field in (node.input, node.output):
        for index, name in enumerate(field):
            field[index] = names.get(name, name)
    for inner in _nested(node):
        _rename(inner, names)
    for item in node.attribute:
        if item.HasField("g"):
            for output in item.g.output:
                output.name = names.get(output.name, output.name)


def _nested(node: Node) -> Iterator[Node]:
    for item in node.attribute:
        if item.HasField("g"):
            yield from item.g.node
