"""Exact rewrite: everything linear before the first activation becomes one matrix product.

In the paper's fusion network (4.2.6) audio and text pass one linear layer each, are joined and
pass a third, with no activation between: 128 + 768 -> 256 + 256 -> 256 is one 896 -> 256, and the
standardisation of the inputs is a part of it too.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from emo_export.onnx_graph import Array, Graph, Node, prune

Matrix = NDArray[np.float64]

_LINEAR = frozenset({"Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "Concat", "Identity"})


def fold_linear(model: onnx.ModelProto) -> bool:
    """Fold the affine start of a graph into one ``Gemm`` per end, in place.

    An end is an affine function of the inputs that a non-affine operator reads (``Relu``,
    attention, the gate of a missing modality). An end from which another end is computed is not
    folded. Weights are multiplied in float64. Returns False if there is nothing to fold.
    """
    graph = Graph(model)
    inputs = {item.name: _width(item) for item in model.graph.input}
    affine = _Affine(graph, inputs)
    ends = affine.ends()
    folded = False
    for name in ends:
        if affine.steps(name) > 1 and not affine.ancestors(name) & set(ends):
            _fold(graph, name, *affine.known[name])
            folded = True
    prune(model)
    return folded


def _fold(graph: Graph, name: str, parts: dict[str, Matrix], offset: Matrix) -> None:
    used = list(parts)
    weight = np.vstack([parts[key] for key in used]).astype(np.float32)
    joined = used[0]
    nodes = []
    if len(used) > 1:
        joined = f"{name}.joined"
        nodes.append(helper.make_node("Concat", used, [joined], axis=1))
    names = [
        graph.add_constant(f"{name}.weight", weight),
        graph.add_constant(f"{name}.bias", offset.astype(np.float32)),
    ]
    nodes.append(helper.make_node("Gemm", [joined, *names], [name]))
    graph.replace_node(graph.maker[name], nodes)


def _width(item: onnx.ValueInfoProto) -> int:
    return int(item.type.tensor_type.shape.dim[1].dim_value)


class _Affine:
    """The tensors that are ``sum(input @ matrix) + offset``, with their matrices."""

    def __init__(self, graph: Graph, inputs: dict[str, int]) -> None:
        self.graph = graph
        self.known: dict[str, tuple[dict[str, Matrix], Matrix]] = {
            name: ({name: np.eye(width)}, np.zeros(width)) for name, width in inputs.items()
        }
        for node in graph.nodes:
            if node.op_type in _LINEAR:
                found = self._apply(node)
                if found is not None:
                    self.known[node.output[0]] = found

    def ends(self) -> list[str]:
        """Return the computed affine tensors that a non-affine operator reads."""
        return [
            name
            for name in self.known
            if name in self.graph.maker
            and any(node.output[0] not in self.known for node in self.graph.readers.get(name, ()))
        ]

    def ancestors(self, name: str) -> set[str]:
        """Return every tensor that a tensor is computed from."""
        node = self.graph.maker.get(name)
        found = set() if node is None else set(node.input)
        return found.union(*(self.ancestors(item) for item in found))

    def steps(self, name: str) -> int:
        """Return the number of operators from the inputs to a tensor."""
        makers = [self.graph.maker.get(item) for item in {name} | self.ancestors(name)]
        return sum(node is not None and node.op_type != "Constant" for node in makers)

    def _apply(self, node: Node) -> tuple[dict[str, Matrix], Matrix] | None:
        tensors = [name for name in node.input if name in self.known]
        constants = [self.graph.constant(name) for name in node.input if name not in self.known]
        values = [value.astype(np.float64) for value in constants if value is not None]
        if len(values) != len(constants) or not tensors:
            return None
        if node.op_type == "Concat":
            by_columns = node.attribute[0].i in {1, -1}
            return self._concat(tensors) if by_columns and not values else None
        parts, offset = self.known[tensors[0]]
        if node.op_type in {"Gemm", "MatMul"}:
            return _product(node, parts, offset, values) if node.input[0] == tensors[0] else None
        if len(tensors) == 2:
            return self._sum(node)
        if node.op_type == "Identity":
            return parts, offset
        return _element_wise(node, parts, offset, values[0], first=node.input[0] == tensors[0])

    def _concat(self, tensors: list[str]) -> tuple[dict[str, Matrix], Matrix]:
        widths = [len(self.known[name][1]) for name in tensors]
        parts: dict[str, Matrix] = {}
        start = 0
        for name, width in zip(tensors, widths, strict=True):
            for key, matrix in self.known[name][0].items():
                whole = parts.setdefault(key, np.zeros((len(matrix), sum(widths))))
                whole[:, start : start + width] += matrix
            start += width
        return parts, np.concatenate([self.known[name][1] for name in tensors])

    def _sum(self, node: Node) -> tuple[dict[str, Matrix], Matrix] | None:
        if node.op_type not in {"Add", "Sub"}:
            return None
        sign = 1.0 if node.op_type == "Add" else -1.0
        (left, left_offset), (right, right_offset) = (self.known[name] for name in node.input)
        parts = dict(left)
        for key, matrix in right.items():
            parts[key] = parts[key] + sign * matrix if key in parts else sign * matrix
        return parts, left_offset + sign * right_offset


def _product(
    node: Node, parts: dict[str, Matrix], offset: Matrix, values: list[Array]
) -> tuple[dict[str, Matrix], Matrix] | None:
    settings = {item.name: item for item in node.attribute}
    if any(settings[name].f != 1.0 for name in ("alpha", "beta") if name in settings):
        return None
    if "transA" in settings and settings["transA"].i:
        return None
    weight = values[0].T if "transB" in settings and settings["transB"].i else values[0]
    if weight.ndim != 2:
        return None
    bias = values[1] if len(values) > 1 else 0.0
    return {key: matrix @ weight for key, matrix in parts.items()}, offset @ weight + bias


def _element_wise(
    node: Node, parts: dict[str, Matrix], offset: Matrix, value: Array, *, first: bool
) -> tuple[dict[str, Matrix], Matrix] | None:
    try:
        vector = np.broadcast_to(np.squeeze(value), offset.shape)
    except ValueError:
        return None
    match node.op_type:
        case "Add":
            return parts, offset + vector
        case "Sub" if first:
            return parts, offset - vector
        case "Mul":
            return _scaled(parts, offset, vector)
        case "Div" if first:
            return _scaled(parts, offset, 1.0 / vector)
    return None


def _scaled(
    parts: dict[str, Matrix], offset: Matrix, by: Matrix
) -> tuple[dict[str, Matrix], Matrix]:
    return {key: matrix * by for key, matrix in parts.items()}, offset * by
