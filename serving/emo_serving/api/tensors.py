"""The Open Inference Protocol's requests and answers: JSON, with or without binary tensors.

V2 of the protocol (kserve/open-inference-protocol, inference_rest.yaml) and Triton's extension for
binary tensors: the JSON comes first, ``Inference-Header-Content-Length`` says how long it is, and
the bytes of the tensors follow in the order in which they are named. An element of a BYTES tensor
is its length as a little-endian uint32, then that many bytes.
"""

import base64
import binascii
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from emo_runtime import Answer, Utterance
from emo_serving.errors import RequestError, TooLargeError

INPUTS = ("text", "audio")
OUTPUTS = {"label": "BYTES", "scores": "FP32"}


class _Tensor(msgspec.Struct):
    """An input, as the JSON names it."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    """The JSON of a request; what else is in it is passed over, as the protocol asks."""

    inputs: list[_Tensor]
    id: str | None = None
    outputs: list[_Output] = []
    parameters: dict[str, Any] = {}


@dataclass(frozen=True)
class Inference:
    """A request, understood: the utterances, and the outputs as (name, whether binary)."""

    id: str | None
    utterances: list[Utterance]
    outputs: list[tuple[str, bool]]


def parse_inference(body: bytes, header_length: int | None, max_rows: int) -> Inference:
    """The utterances of a request's body. Raises RequestError, TooLargeError."""
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise RequestError(f"the JSON is said to have {length} bytes, the body has {len(body)}.")
    try:
        request = msgspec.json.decode(body[:length], type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"not an inference request: {_first_line(error)}") from None
    columns: dict[str, list[bytes]] = {}
    rest = memoryview(body)[length:]
    for tensor in request.inputs:
        if tensor.name not in INPUTS or tensor.name in columns:
            raise RequestError(f"inputs are {' and '.join(INPUTS)}, each once at most.")
        columns[tensor.name], rest = _elements(tensor, rest, max_rows)
    if len(rest):
        raise RequestError(f"{len(rest)} bytes follow the tensors that were named.")
    return Inference(request.id, _utterances(columns), _outputs(request))


def encode_inference(
    request: Inference, answers: Sequence[Answer], model: str, version: str
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where binary tensors follow it."""
    outputs, tail = [], b""
    for name, binary in request.outputs:
        width = [len(answers[0].scores)] if name == "scores" else []
        output: dict[str, Any] = {
            "name": name,
            "datatype": OUTPUTS[name],
            "shape": [len(answers), *width],
        }
        if binary:
            data = _binary(name, answers)
            output["parameters"] = {"binary_data_size": len(data)}
            tail += data
        else:
            output["data"] = [value for answer in answers for value in _values(name, answer)]
        outputs.append(output)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if request.id is not None:
        document["id"] = request.id
    head = msgspec.json.encode(document)
    return head + tail, len(head) if tail else None


def _elements(tensor: _Tensor, rest: memoryview, max_rows: int) -> tuple[list[bytes], memoryview]:
    """The elements of a tensor [rows] or [rows, 1], and what of the binary part is left."""
    where = f"input {tensor.name!r}"
    if tensor.datatype != "BYTES":
        raise RequestError(f"{where}: of type BYTES, please.")
    if len(tensor.shape) not in {1, 2} or tensor.shape[1:] not in ([], [1]):
        raise RequestError(f"{where}: its shape is [rows] or [rows, 1].")
    rows = tensor.shape[0]
    if rows > max_rows:
        raise TooLargeError(f"{where}: {rows} rows, {max_rows} are allowed: send several requests.")
    size = tensor.parameters.get("binary_data_size")
    if size is None:
        elements = [_element(value, tensor.name) for value in _flat(tensor.data)]
    elif type(size) is not int or not 0 <= size <= len(rest) or tensor.data is not None:
        raise RequestError(f"{where}: its binary_data_size does not fit the body.")
    else:
        elements, rest = list(_unpack(rest[:size], where)), rest[size:]
    if rows < 1 or len(elements) != rows:
        raise RequestError(f"{where}: {len(elements)} elements for the shape {tensor.shape[:2]}.")
    return elements, rest


def _flat(data: Any) -> list[Any]:
    """The elements of [rows] or [[row], ...]."""
    if not isinstance(data, list):
        raise RequestError("a tensor without binary_data_size has its elements as the list 'data'.")
    return [value[0] if isinstance(value, list) and len(value) == 1 else value for value in data]


def _element(value: Any, name: str) -> bytes:
    if not isinstance(value, str):
        raise RequestError(f"input {name!r}: its elements are strings; those of 'audio' in base64.")
    if name == "text":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(
            "input 'audio': its elements in JSON are sound files in base64."
        ) from None


def _unpack(data: memoryview, where: str) -> Iterable[bytes]:
    while len(data):
        if len(data) < 4:
            raise RequestError(f"{where}: ends in the middle of an element.")
        [length] = struct.unpack("<I", data[:4])
        if length > len(data) - 4:
            raise RequestError(f"{where}: ends in the middle of an element.")
        yield bytes(data[4 : 4 + length])
        data = data[4 + length :]


def _utterances(columns: dict[str, list[bytes]]) -> list[Utterance]:
    """A row of each; an empty element means that the row has none."""
    counts = {len(elements) for elements in columns.values()}
    if len(counts) != 1:
        raise RequestError("give text or audio, or as many rows of the one as of the other.")
    [rows] = counts
    texts = columns.get("text", [b""] * rows)
    sounds = columns.get("audio", [b""] * rows)
    try:
        return [
            Utterance(text.decode() if text else None, sound or None)
            for text, sound in zip(texts, sounds, strict=True)
        ]
    except UnicodeDecodeError:
        raise RequestError("input 'text': its elements are UTF-8.") from None


def _outputs(request: _Request) -> list[tuple[str, bool]]:
    default = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return [(name, default) for name in OUTPUTS]
    for output in request.outputs:
        if output.name not in OUTPUTS:
            raise RequestError(f"outputs are {' and '.join(OUTPUTS)}.")
    return [
        (output.name, output.parameters.get("binary_data", default) is True)
        for output in request.outputs
    ]


def _values(name: str, answer: Answer) -> list[Any]:
    return [answer.label] if name == "label" else list(answer.scores.values())


def _binary(name: str, answers: Sequence[Answer]) -> bytes:
    if name == "scores":
        rows = [struct.pack(f"<{len(row.scores)}f", *row.scores.values()) for row in answers]
        return b"".join(rows)
    labels = [answer.label.encode() for answer in answers]
    return b"".join(struct.pack("<I", len(label)) + label for label in labels)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
