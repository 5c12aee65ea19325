"""A look into an ONNX file before ONNX Runtime sees it, without the ``onnx`` package.

A short walk over the protobuf wire format: enough to know a graph's inputs and outputs and to
refuse what no bundle needs and what could read files, run foreign code or never end: external
data, foreign operator domains, local functions, subgraphs (If, Loop, Scan), absurd node counts.
Field numbers are those of ``onnx.proto3``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from emo_runtime.errors import BundleError

MAX_NODES = 20_000
DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})
FLOAT, INT64 = 1, 7

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class TensorInfo:
    """Element type (ONNX's number) and dimensions; None where a dimension is symbolic."""

    element_type: int
    dimensions: tuple[int | None, ...]


@dataclass(frozen=True)
class GraphInfo:
    """What a graph takes and gives, by name, and how many nodes it has."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    nodes: int


def check_graph(data: memoryview, name: str) -> GraphInfo:
    """Walk over the ONNX model ``data`` of the file ``name``. Raises BundleError."""
    graph: memoryview | None = None
    for field, value in _fields(data, name):
        if field == 7:
            if graph is not None:
                _refuse(name, "it holds two graphs")
            graph = _message(value, name)
        elif field == 20:
            _refuse(name, "it holds training information")
        elif field == 25:
            _refuse(name, "it holds local functions")
    if graph is None:
        _refuse(name, "it holds no graph")
    return _check_graph_proto(graph, name)


def _check_graph_proto(graph: memoryview, name: str) -> GraphInfo:
    inputs: dict[str, TensorInfo] = {}
    outputs: dict[str, TensorInfo] = {}
    nodes = 0
    for field, value in _fields(graph, name):
        if field == 1:
            nodes += 1
            if nodes > MAX_NODES:
                _refuse(name, f"it has more than {MAX_NODES:,} nodes")
            _check_node(_message(value, name), name)
        elif field == 5:
            _check_tensor(_message(value, name), name)
        elif field == 11:
            inputs.update(_value_info(_message(value, name), name))
        elif field == 12:
            outputs.update(_value_info(_message(value, name), name))
        elif field == 15:
            _refuse(name, "it holds sparse tensors")
    return GraphInfo(inputs, outputs, nodes)


def _check_node(node: memoryview, name: str) -> None:
    for field, value in _fields(node, name):
        if field == 7:
            domain = bytes(_message(value, name))
            if domain not in DOMAINS:
                _refuse(name, f"it uses operators of the domain {domain[:80]!r}")
        elif field == 5:
            _check_attribute(_message(value, name), name)


def _check_attribute(attribute: memoryview, name: str) -> None:
    for field, value in _fields(attribute, name):
        if field in {5, 10}:
            _check_tensor(_message(value, name), name)
        elif field in {6, 11}:
            _refuse(name, "it has subgraphs (If, Loop or Scan)")
        elif field in {22, 23}:
            _refuse(name, "it holds sparse tensors")


def _check_tensor(tensor: memoryview, name: str) -> None:
    for field, value in _fields(tensor, name):
        if field == 13 or (field == 14 and value != 0):
            _refuse(name, "it keeps weights in other files (external data)")


def _value_info(info: memoryview, name: str) -> dict[str, TensorInfo]:
    key, result = "", TensorInfo(0, ())
    for field, value in _fields(info, name):
        if field == 1:
            key = bytes(_message(value, name)).decode("utf-8", "replace")
        elif field == 2:
            for kind, tensor in _fields(_message(value, name), name):
                if kind == 1:
                    result = _tensor_type(_message(tensor, name), name)
    return {key: result}


def _tensor_type(tensor: memoryview, name: str) -> TensorInfo:
    element_type, dimensions = 0, []
    for field, value in _fields(tensor, name):
        if field == 1 and isinstance(value, int):
            element_type = value
        elif field == 2:
            for shape_field, dimension in _fields(_message(value, name), name):
                if shape_field == 1:
                    dimensions.append(_dimension(_message(dimension, name), name))
    return TensorInfo(element_type, tuple(dimensions))


def _dimension(dimension: memoryview, name: str) -> int | None:
    for field, value in _fields(dimension, name):
        if field == 1 and isinstance(value, int):
            return value
    return None


def _fields(data: memoryview, name: str) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers with their values: integers, or the bytes of what is length-delimited."""
    position, end = 0, len(data)
    while position < end:
        key, position = _varint(data, position, name)
        wire = key & 7
        if wire == _VARINT:
            number, position = _varint(data, position, name)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            length, position = _varint(data, position, name)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            _refuse(name, "it is not an ONNX file")
        if length > end - position:
            _refuse(name, "it is cut off or no ONNX file")
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int, name: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    _refuse(name, "it is cut off or no ONNX file")


def _message(value: int | memoryview, name: str) -> memoryview:
    if isinstance(value, int):
        _refuse(name, "it is not an ONNX file")
    return value


def _refuse(name: str, why: str) -> NoReturn:
    raise BundleError(
        f"{name}: refused: {why}. No bundle of emo-export is like that: export again."
    )
