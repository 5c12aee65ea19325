"""Requests and responses of ModelInfer: raw tensors, or elements in ``contents``."""

from collections.abc import Sequence
from typing import Any

from emo_runtime import Answer
from emo_serving.api.tensors import (
    INPUTS,
    OUTPUTS,
    Inference,
    Output,
    binary_elements,
    check_output,
    check_rows,
    utterances_of,
)
from emo_serving.errors import RequestError
from emo_serving.models import Model
from emo_serving.on_grpc.messages import TYPES


def inference_of(request: Any, max_rows: int) -> Inference:
    """Return the utterances of a ModelInferRequest. Raises RequestError, TooLargeError."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RequestError("give raw_input_contents for all inputs, or for none.")
    columns: dict[str, list[bytes]] = {}
    for number, tensor in enumerate(request.inputs):
        if tensor.name not in INPUTS or tensor.name in columns:
            raise RequestError(f"inputs are {' and '.join(INPUTS)}, each at most once.")
        where = f"input {tensor.name!r}"
        if tensor.datatype != "BYTES":
            raise RequestError(f"{where}: its datatype must be BYTES.")
        rows = check_rows(list(tensor.shape), max_rows, where)
        elements = list(tensor.contents.bytes_contents)
        if raw:
            if elements:
                raise RequestError(f"{where}: give its elements once.")
            elements = binary_elements(memoryview(raw[number]), rows, where)
        if len(elements) != rows:
            raise RequestError(f"{where}: it has {len(elements)} elements instead of {rows}.")
        columns[tensor.name] = elements
    return Inference(request.id or None, utterances_of(columns), _outputs(request))


def response_of(inference: Inference, answers: Sequence[Answer], model: Model) -> Any:
    """Return the ModelInferResponse, with raw tensors as Triton sends them."""
    response = TYPES["ModelInferResponse"](
        model_name=model.name, model_version=model.version, id=inference.id or ""
    )
    for output in inference.outputs:
        response.outputs.add(
            name=output.name, datatype=output.datatype, shape=output.shape(answers)
        )
        response.raw_output_contents.append(output.encode(answers))
    return response


def _outputs(request: Any) -> list[Output]:
    if any(output.name not in OUTPUTS for output in request.outputs):
        raise RequestError(f"outputs are {' and '.join(OUTPUTS)}.")
    found = [
        check_output(
            Output(output.name, True, output.parameters["classification"].int64_param)
            if "classification" in output.parameters
            else Output(output.name, is_binary=True)
        )
        for output in request.outputs
    ]
    return found or [Output(name, is_binary=True) for name in OUTPUTS]
