"""Check of an ONNX file before ONNX Runtime reads it, without the ``onnx`` package.

Parses as much of the protobuf wire format as is needed to find a graph's inputs and outputs and to
refuse what could read files, run other code or never end: external data, precompiled contexts,
operator domains other than ONNX's and com.microsoft, local functions, subgraphs (If, Loop, Scan),
and excessive numbers of nodes or fields. Field numbers are those of ``onnx.proto3``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from emo_runtime.errors import BundleError

MAX_NODES = 20_000
MAX_FIELDS = 1_000_000
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
    """Inputs and outputs of a graph by name, and its number of nodes."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    nodes: int


@dataclass
class _Walk:
    """Name of the file, and the number of fields that may still be visited."""

    name: str
    left: int = MAX_FIELDS


def check_graph(data: memoryview, name: str) -> GraphInfo:
    """Check the ONNX model ``data`` of the file ``name``. Raises BundleError."""
    walk = _Walk(name)
    if bytes(data[4:8]) == b"ORTM":
        _refuse(walk, "it is in ONNX Runtime's own format, which can't be checked")
    graph: memoryview | None = None
    for field, value in _fields(data, walk):
        if field == 7:
            if graph is not None:
                _refuse(walk, "it holds two graphs")
            graph = _message(value, walk)
        elif field == 20:
            _refuse(walk, "it holds training information")
        elif field == 25:
            _refuse(walk, "it holds local functions")
    if graph is None:
        _refuse(walk, "it holds no graph")
    return _check_graph_proto(graph, walk)


def _check_graph_proto(graph: memoryview, walk: _Walk) -> GraphInfo:
    inputs: dict[str, TensorInfo] = {}
    outputs: dict[str, TensorInfo] = {}
    nodes = 0
    for field, value in _fields(graph, walk):
        if field == 1:
            nodes += 1
            if nodes > MAX_NODES:
                _refuse(walk, f"it has more than {MAX_NODES:,} nodes")
            _check_node(_message(value, walk), walk)
        elif field == 5:
            _check_tensor(_message(value, walk), walk)
        elif field == 11:
            inputs.update(_value_info(_message(value, walk), walk))
        elif field == 12:
            outputs.update(_value_info(_message(value, walk), walk))
        elif field == 15:
            _refuse(walk, "it holds sparse tensors")
    return GraphInfo(inputs, outputs, nodes)


def _check_node(node: memoryview, walk: _Walk) -> None:
    for field, value in _fields(node, walk):
        if field == 7:
            domain = bytes(_message(value, walk))
            if domain not in DOMAINS:
                _refuse(walk, f"it uses operators of the domain {domain[:80]!r}")
        elif field == 4 and bytes(_message(value, walk)) == b"EPContext":
            _refuse(walk, "it holds a context compiled for a provider (EPContext)")
        elif field == 5:
            _check_attribute(_message(value, walk), walk)


def _check_attribute(attribute: memoryview, walk: _Walk) -> None:
    for field, value in _fields(attribute, walk):
        if field in {5, 10}:
            _check_tensor(_message(value, walk), walk)
        elif field in {6, 11}:
            _refuse(walk, "it has subgraphs (If, Loop or Scan)")
        elif field in {22, 23}:
            _refuse(walk, "it holds sparse tensors")


def _check_tensor(tensor: memoryview, walk: _Walk) -> None:
    for field, value in _fields(tensor, walk):
        if field == 13 or (field == 14 and value != 0):
            _refuse(walk, "it keeps weights in other files (external data)")


def _value_info(info: memoryview, walk: _Walk) -> dict[str, TensorInfo]:
    key, result = "", TensorInfo(0, ())
    for field, value in _fields(info, walk):
        if field == 1:
            key = bytes(_message(value, walk)).decode("utf-8", "replace")
        elif field == 2:
            for kind, tensor in _fields(_message(value, walk), walk):
                if kind == 1:
                    result = _tensor_type(_message(tensor, walk), walk)
    return {key: result}


def _tensor_type(tensor: memoryview, walk: _Walk) -> TensorInfo:
    element_type, dimensions = 0, []
    for field, value in _fields(tensor, walk):
        if field == 1 and isinstance(value, int):
            element_type = value
        elif field == 2:
            for shape_field, dimension in _fields(_message(value, walk), walk):
                if shape_field == 1:
                    dimensions.append(_dimension(_message(dimension, walk), walk))
    return TensorInfo(element_type, tuple(dimensions))


def _dimension(dimension: memoryview, walk: _Walk) -> int | None:
    for field, value in _fields(dimension, walk):
        if field == 1 and isinstance(value, int):
            return value
    return None


def _fields(data: memoryview, walk: _Walk) -> Iterator[tuple[int, int | memoryview]]:
    """Yield field numbers and values: integers, or the bytes of length-delimited fields."""
    position, end = 0, len(data)
    while position < end:
        walk.left -= 1
        if not walk.left:
            _refuse(walk, f"it has more than {MAX_FIELDS:,} fields")
        key, position = _varint(data, position, walk)
        if not 8 <= key < 1 << 32:
            # protobuf keeps 32 bits of a key: a larger one would be another field to it than here.
            _refuse(walk, "it has an invalid field number")
        wire = key & 7
        if wire == _VARINT:
            number, position = _varint(data, position, walk)
            yield key >> 3, number
            continue
        if wire == _BYTES:
            length, position = _varint(data, position, walk)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            _refuse(walk, "it is not an ONNX file")
        if length > end - position:
            _refuse(walk, "it is truncated or not an ONNX file")
        yield key >> 3, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int, walk: _Walk) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    _refuse(walk, "it is truncated or not an ONNX file")


def _message(value: int | memoryview, walk: _Walk) -> memoryview:
    if isinstance(value, int):
        _refuse(walk, "it is not an ONNX file")
    return value


def _refuse(walk: _Walk, why: str) -> NoReturn:
    raise BundleError(
        f"{walk.name}: refused: {why}. emo-export does not write such files: export again."
    )
