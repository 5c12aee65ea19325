"""Requests and responses of the Open Inference Protocol: JSON, with or without binary tensors.

Version 2 of the protocol (kserve/open-inference-protocol, inference_rest.yaml) and Triton's binary
tensor extension: the JSON comes first, ``Inference-Header-Content-Length`` is its length, and the
bytes of the tensors follow in the order of their names. An element of a BYTES tensor is its
length as a little-endian uint32, then that many bytes.
"""

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from emo_runtime import Answer, Utterance
from emo_serving.api.schemas import bounded_list, decode, reason_of
from emo_serving.errors import RequestError, TooLargeError

INPUTS = ("text", "audio")
OUTPUTS = {"label": "BYTES", "scores": "FP32"}
_MAX_TENSORS = 8
_MAX_DIMENSIONS = 8


def _array(items: dict[str, Any]) -> Meta:
    """Describe an undecoded array: its length is checked before its elements are decoded."""
    return Meta(extra_json_schema={"type": "array", "items": items})


class TensorParameters(Struct, omit_defaults=True):
    """Parameters of a tensor; others are ignored, as the protocol requires."""

    binary_data_size: int | None = None


class Tensor(Struct, omit_defaults=True):
    """A tensor of a request or a response."""

    name: str
    shape: Annotated[Raw, _array({"type": "integer"})]
    datatype: str
    data: Annotated[Raw, _array({})] | UnsetType = UNSET
    parameters: TensorParameters = field(default_factory=TensorParameters)


class OutputParameters(Struct, omit_defaults=True):
    """Parameters of a requested output.

    ``classification`` asks for so many of the best labels as ``"score:index:label"``.
    """

    binary_data: bool | None = None
    classification: int | None = None


class RequestedOutput(Struct, omit_defaults=True):
    """An output that the client asks for."""

    name: str
    parameters: OutputParameters = field(default_factory=OutputParameters)


class RequestParameters(Struct, omit_defaults=True):
    """Parameters of a request."""

    binary_data_output: bool = False


class InferenceRequest(Struct, omit_defaults=True):
    """A request: ``text`` and/or ``audio`` (base64 in JSON), [rows] of BYTES each."""

    inputs: list[Tensor]
    id: str | None = None
    outputs: list[RequestedOutput] = []
    parameters: RequestParameters = field(default_factory=RequestParameters)


class _RawRequest(Struct):
    """The same, with undecoded arrays."""

    inputs: Raw
    id: str | None = None
    outputs: Raw = Raw(b"[]")
    parameters: RequestParameters = field(default_factory=RequestParameters)


class InferenceResponse(Struct, omit_defaults=True):
    """A response: ``label`` [rows] and ``scores`` [rows, labels]."""

    model_name: str
    model_version: str
    outputs: list[Tensor]
    id: str | None = None


@dataclass(frozen=True)
class Output:
    """A requested output: as binary tensor or not, as so many best labels or as it is (0)."""

    name: str
    is_binary: bool = False
    class_count: int = 0

    @property
    def datatype(self) -> str:
        """Type of its elements."""
        return "BYTES" if self.class_count else OUTPUTS[self.name]

    def values(self, answer: Answer) -> list[str | float]:
        """Return the elements of a row."""
        if self.name == "label":
            return [answer.label]
        if not self.class_count:
            return list(answer.scores.values())
        ranked = sorted(enumerate(answer.scores.items()), key=lambda each: each[1][1], reverse=True)
        best = ranked[: self.class_count]
        return [f"{score:f}:{index}:{label}" for index, (label, score) in best]

    def encode(self, answers: Sequence[Answer]) -> bytes:
        """Return the elements of all rows as a binary tensor."""
        rows = [value for answer in answers for value in self.values(answer)]
        if self.datatype == "FP32":
            return struct.pack(f"<{len(rows)}f", *rows)
        encoded = [str(value).encode() for value in rows]
        return b"".join(struct.pack("<I", len(each)) + each for each in encoded)

    def shape(self, answers: Sequence[Answer]) -> list[int]:
        """Return the shape: [rows] for labels, else [rows, scores]."""
        width = [] if self.name == "label" else [len(self.values(answers[0]))]
        return [len(answers), *width]


@dataclass(frozen=True)
class Inference:
    """A decoded request."""

    id: str | None
    utterances: list[Utterance]
    outputs: list["Output"]


def parse_inference(body: bytes, header_length: int | None, max_rows: int) -> Inference:
    """Return the utterances of a request's body. Raises RequestError, TooLargeError."""
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise RequestError(f"the JSON is declared as {length} bytes, the body has {len(body)}.")
    request = decode(_RawRequest, body[:length])
    columns: dict[str, list[bytes]] = {}
    rest = memoryview(body)[length:]
    for raw in bounded_list(request.inputs, _MAX_TENSORS, "inputs"):
        tensor = decode(Tensor, raw)
        if tensor.name not in INPUTS or tensor.name in columns:
            raise RequestError(f"inputs are {' and '.join(INPUTS)}, each at most once.")
        columns[tensor.name], rest = _elements(tensor, rest, max_rows)
    if len(rest):
        raise RequestError(f"{len(rest)} bytes follow the declared tensors.")
    return Inference(request.id, utterances_of(columns), _outputs(request))


def encode_inference(
    request: Inference, answers: Sequence[Answer], model: str, version: str
) -> tuple[bytes, int | None]:
    """Return the body of a response, and the length of its JSON if binary tensors follow it."""
    outputs, tail = [], b""
    for output in request.outputs:
        shape = Raw(msgspec.json.encode(output.shape(answers)))
        tensor = Tensor(output.name, shape, output.datatype)
        if output.is_binary:
            data = output.encode(answers)
            tensor.parameters = TensorParameters(len(data))
            tail += data
        else:
            values = [value for answer in answers for value in output.values(answer)]
            tensor.data = Raw(msgspec.json.encode(values))
        outputs.append(tensor)
    head = msgspec.json.encode(InferenceResponse(model, version, outputs, request.id))
    return head + tail, len(head) if tail else None


def _elements(tensor: Tensor, rest: memoryview, max_rows: int) -> tuple[list[bytes], memoryview]:
    """Return the elements of a tensor [rows] or [rows, 1], and the rest of the binary part."""
    where = f"input {tensor.name!r}"
    if tensor.datatype != "BYTES":
        raise RequestError(f"{where}: its datatype must be BYTES.")
    dimensions = bounded_list(tensor.shape, _MAX_DIMENSIONS, f"dimensions of {where}")
    rows = check_rows([decode(int, dimension) for dimension in dimensions], max_rows, where)
    size = tensor.parameters.binary_data_size
    if size is None:
        return _json_elements(tensor, rows, where), rest
    if not 0 <= size <= len(rest) or _data_of(tensor) is not None:
        raise RequestError(f"{where}: its binary_data_size does not match the body.")
    return binary_elements(rest[:size], rows, where), rest[size:]


def check_rows(shape: Sequence[int], max_rows: int, where: str) -> int:
    """Return the number of rows of a tensor [rows] or [rows, 1].

    Raises RequestError, TooLargeError.
    """
    if len(shape) not in {1, 2} or list(shape[1:]) not in ([], [1]):
        raise RequestError(f"{where}: its shape must be [rows] or [rows, 1].")
    rows = shape[0]
    if rows > max_rows:
        raise TooLargeError(
            f"{where}: {rows} rows, the limit is {max_rows}: send several requests."
        )
    if rows < 1:
        raise RequestError(f"{where}: it has no rows.")
    return rows


def _json_elements(tensor: Tensor, rows: int, where: str) -> list[bytes]:
    data = _data_of(tensor)
    if data is None:
        raise RequestError(f"{where}: give its elements as a list 'data', or binary_data_size.")
    try:
        values = msgspec.json.decode(data, type=_rows_type(rows))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(
            f"{where}: data must be {rows} strings, those of 'audio' in base64: {reason_of(error)}"
        ) from None
    return [
        _element(value if isinstance(value, str) else value[0], tensor.name) for value in values
    ]


def _data_of(tensor: Tensor) -> Raw | None:
    """Return the undecoded elements; None if they are missing or null."""
    if isinstance(tensor.data, UnsetType) or bytes(tensor.data) == b"null":
        return None
    return tensor.data


@cache
def _rows_type(rows: int) -> Any:
    """Return the type of ``[row, ...]`` and ``[[row], ...]``, of exactly this length."""
    return tuple[(str | tuple[str],) * rows]  # type: ignore[misc]


def _element(value: str, name: str) -> bytes:
    if name == "text":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("input 'audio': its elements must be sound files in base64.") from None


def binary_elements(data: memoryview, rows: int, where: str) -> list[bytes]:
    """Return the elements of a binary BYTES tensor. Raises RequestError."""
    elements = []
    for _ in range(rows):
        if len(data) < 4:
            raise RequestError(f"{where}: its data ends within an element.")
        [length] = struct.unpack("<I", data[:4])
        if length > len(data) - 4:
            raise RequestError(f"{where}: its data ends within an element.")
        elements.append(bytes(data[4 : 4 + length]))
        data = data[4 + length :]
    if len(data):
        raise RequestError(f"{where}: its data has more than {rows} elements.")
    return elements


def utterances_of(columns: dict[str, list[bytes]]) -> list[Utterance]:
    """Combine the columns; an empty element means that the row has no text, or no sound."""
    counts = {len(elements) for elements in columns.values()}
    if len(counts) != 1:
        raise RequestError("give text or audio, or both with the same number of rows.")
    [rows] = counts
    texts = columns.get("text", [b""] * rows)
    sounds = columns.get("audio", [b""] * rows)
    try:
        return [
            Utterance(text.decode() if text else None, sound or None)
            for text, sound in zip(texts, sounds, strict=True)
        ]
    except UnicodeDecodeError:
        raise RequestError("input 'text': its elements must be UTF-8.") from None


def _outputs(request: _RawRequest) -> list[Output]:
    default = request.parameters.binary_data_output
    raw = bounded_list(request.outputs, _MAX_TENSORS, "outputs")
    requested = [decode(RequestedOutput, each) for each in raw]
    if not requested:
        return [Output(name, default) for name in OUTPUTS]
    if any(output.name not in OUTPUTS for output in requested):
        raise RequestError(f"outputs are {' and '.join(OUTPUTS)}.")
    return [_output(output, default=default) for output in requested]


def _output(requested: RequestedOutput, *, default: bool) -> Output:
    given = requested.parameters
    return check_output(
        Output(
            requested.name,
            default if given.binary_data is None else given.binary_data,
            given.classification or 0,
        )
    )


def check_output(output: Output) -> Output:
    """Return an output. Raises RequestError if it can't be given as best labels."""
    if output.class_count < 0 or (output.class_count and output.name != "scores"):
        raise RequestError("classification is a number above 0, for the output 'scores' only.")
    return output
