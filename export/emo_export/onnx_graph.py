"""Helpers for graph rewrites: find the producer and the consumers of a tensor."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emo_runtime.errors import EmoError

CONTRIB = "com.microsoft"
PROTOBUF_LIMIT = (1 << 31) - (1 << 16)  # bytes of one file, with a margin for its headers

Node = Any
Array = NDArray[Any]


class Graph:
    """A model with its tensors indexed by name. ``model`` is changed in place.

    The index is not updated: build a new one after adding or removing nodes.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: Any = model.graph.node
        self.constants = {item.name: item for item in model.graph.initializer}
        self.maker = {output: node for node in self.nodes for output in node.output}
        self.readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {output.name for output in model.graph.output}

    def constant(self, name: str) -> Array | None:
        """Return the value of an initializer or Constant node; None for a computed tensor."""
        if name in self.constants:
            return np.asarray(numpy_helper.to_array(self.constants[name]))
        node = self.maker.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            return np.asarray(numpy_helper.to_array(node.attribute[0].t))
        return None

    def made_by(self, name: str, op_type: str) -> Node | None:
        """Return the node that produces tensor ``name``, if it has that type."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type == op_type else None

    def add_constant(self, name: str, value: Array) -> str:
        """Add an initializer under an unused name and return the name."""
        free = self.free_name(name)
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), free)
        self.model.graph.initializer.append(tensor)
        self.constants[free] = self.model.graph.initializer[-1]
        return free

    def free_name(self, name: str) -> str:
        """Return ``name``, with a number if a tensor has it already."""
        taken = self.constants.keys() | self.maker.keys()
        free = name
        number = 1
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free

    def replace_node(self, node: Node, by: Iterable[Node]) -> None:
        """Replace a node with other nodes."""
        position = next(i for i, other in enumerate(self.nodes) if other is node)
        self.nodes.remove(node)
        for offset, new in enumerate(by):
            self.nodes.insert(position + offset, new)

    def redirect(self, old: str, new: str) -> None:
        """Connect every consumer of ``old`` to ``new``."""
        for node in self.readers.get(old, ()):
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new


def prune(model: onnx.ModelProto) -> None:
    """Remove, in place, the nodes and initializers that no output depends on.

    The rest is not copied: the weights of a large model take several GB.
    """
    needed = {output.name for output in model.graph.output}
    nodes, tensors = model.graph.node, model.graph.initializer
    for index in reversed(range(len(nodes))):
        if needed.intersection(nodes[index].output):
            needed.update(nodes[index].input)
        else:
            del nodes[index]
    for index in reversed(range(len(tensors))):
        if tensors[index].name not in needed:
            del tensors[index]


def clean(model: onnx.ModelProto) -> None:
    """Remove all metadata about when, where and with what tool the model was made, in place.

    Nodes and tensors are renamed by position, so that names are equal in every run.
    """
    model.producer_name = "emo-export"
    model.producer_version = model.domain = model.doc_string = ""
    model.ClearField("metadata_props")
    model.graph.name = "emo"
    model.graph.doc_string = ""
    del model.graph.value_info[:]
    _name_by_place(model.graph)
    used = {node.domain for node in model.graph.node}
    imports = {item.domain: item.version for item in model.opset_import}
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", imports[""]))
    if CONTRIB in used:
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))


def _name_by_place(graph: Any) -> None:
    fixed = {item.name for item in [*graph.input, *graph.output]} | {""}
    names: dict[str, str] = {name: name for name in fixed}
    for number, tensor in enumerate(graph.initializer):
        tensor.name = names.setdefault(tensor.name, f"w{number}")
        tensor.doc_string = ""
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        node.doc_string = ""
        node.ClearField("metadata_props")
        for index, name in enumerate(node.input):
            node.input[index] = names[name]
        for index, name in enumerate(node.output):
            node.output[index] = names.setdefault(name, f"t{number}.{index}")


def size_bytes(model: onnx.ModelProto) -> int:
    """Return the size of the model's file in bytes."""
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights >= PROTOBUF_LIMIT:
        return weights
    return int(model.ByteSize())


def copy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a model of any size.

    Protobuf keeps what was deleted from a message until the whole message is freed. A copy of a
    rewritten model has only what is left.
    """
    other = onnx.ModelProto()
    other.ir_version = model.ir_version
    other.opset_import.extend(model.opset_import)
    other.functions.extend(model.functions)
    other.graph.name = model.graph.name
    other.graph.node.extend(model.graph.node)
    other.graph.input.extend(model.graph.input)
    other.graph.output.extend(model.graph.output)
    other.graph.value_info.extend(model.graph.value_info)
    # One by one: protobuf can't copy more than 2 GiB at once.
    other.graph.initializer.extend(model.graph.initializer)
    return other


def encode(model: onnx.ModelProto) -> bytes:
    """Return the serialized model; equal models give equal bytes.

    Raises:
        EmoError: The model exceeds the limit of its file format.
    """
    if (size := size_bytes(model)) >= PROTOBUF_LIMIT:
        raise EmoError(
            f"the graph has {size / 2**30:.1f} GiB, but an ONNX file without external data holds "
            "at most 2 GiB. Export with --quantize (int8) or --precision fp16."
        )
    data: bytes = model.SerializeToString(deterministic=True)
    return data
