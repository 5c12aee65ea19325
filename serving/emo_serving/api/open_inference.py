"""Routes of the Open Inference Protocol (v2), which KServe's and Triton's clients use."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from emo_runtime import Answer, EmoError, __version__
from emo_serving.admission import Client
from emo_serving.api.bodies import BINARY, JSON, media_type, received_body
from emo_serving.api.openapi import POST_ERRORS, READ_ERRORS, Endpoint, as_json
from emo_serving.api.tensors import (
    INPUTS,
    OUTPUTS,
    Inference,
    InferenceRequest,
    InferenceResponse,
    encode_inference,
    parse_inference,
)
from emo_serving.context import client_of
from emo_serving.errors import RequestError, UnknownBundleError
from emo_serving.models import Model
from emo_serving.service import Service
from emo_serving.statistics import StatisticsResponse

_HEADER = "Inference-Header-Content-Length"
_TAG = "Open Inference Protocol"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]
_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
_MODEL = "/v2/models/{name}"
_VERSION = "/v2/models/{name}/versions/{version}"


class InferenceError(Struct):
    """An error in the protocol's form."""

    error: str


class ServerMetadata(Struct):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class Live(Struct):
    """Liveness of the server."""

    live: bool


class Ready(Struct):
    """Readiness of the server."""

    ready: bool


class ModelReady(Struct):
    """Readiness of a model."""

    name: str
    ready: bool


class TensorMetadata(Struct):
    """Name, type and shape of a tensor; -1 stands for the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct):
    """Inputs and outputs of the model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelConfigTensor(Struct):
    """Name, type and shape of a row of a tensor."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(Struct):
    """Configuration of the model, as Triton's ``config.pbtxt`` has it."""

    name: str
    backend: str
    max_batch_size: int
    input: list[ModelConfigTensor]
    output: list[ModelConfigTensor]


async def server_metadata(request: Request) -> Response:  # noqa: ARG001
    """Name, version and extensions."""
    return as_json(ServerMetadata("emo-runtime", __version__, EXTENSIONS))


async def server_live(request: Request) -> Response:  # noqa: ARG001
    """200 while the process responds."""
    return as_json(Live(live=True))


async def server_ready(request: Request) -> Response:
    """503 under overload, and once the server is stopping."""
    service: Service = request.app.state.service
    ready = service.status == "ready"
    return as_json(Ready(ready), 200 if ready else 503)


async def model_metadata(request: Request) -> Response:
    """Names, types and shapes of the tensors; -1 stands for the number of rows."""
    return as_json(metadata_of(_model(request)))


async def model_config(request: Request) -> Response:
    """Tensors of a row, and the largest number of rows."""
    service: Service = request.app.state.service
    return as_json(config_of(_model(request), service.settings.max_batch))


async def model_statistics(request: Request) -> Response:
    """Counts and times of the inferences of a model since it was loaded into this process."""
    return as_json(StatisticsResponse([_model(request).statistics]))


async def statistics_of_all(request: Request) -> Response:
    """Counts and times of the inferences of all models."""
    service: Service = request.app.state.service
    return as_json(StatisticsResponse([each.statistics for each in service.models.loaded()]))


async def model_ready(request: Request) -> Response:
    """503 under overload, and once the server is stopping."""
    service: Service = request.app.state.service
    ready = service.status == "ready"
    return as_json(ModelReady(_model(request).name, ready), 200 if ready else 503)


async def model_infer(request: Request) -> Response:
    """JSON or binary tensors. If one row fails, the whole request fails."""
    service: Service = request.app.state.service
    settings = service.settings
    declared = request.headers.get(_HEADER)
    if declared is not None and not (declared.isascii() and declared.isdigit()):
        raise RequestError(f"{_HEADER} must be a number of bytes.")
    limit = settings.max_body_bytes if media_type(request) == BINARY else settings.max_json_bytes
    async with received_body(request, settings, service.admission, limit) as body:
        model = _model(request)  # only now: it could be replaced while the body arrives
        length = None if declared is None else int(declared[:20])
        inference = parse_inference(body, length, settings.max_batch)
        answers = await infer(service, model, inference, client_of(request.scope))
    content, json_length = encode_inference(inference, answers, model.name, model.version)
    if json_length is None:
        return Response(content, media_type=JSON)
    return Response(content, headers={_HEADER: str(json_length)}, media_type=BINARY)


async def infer(
    service: Service, model: Model, inference: Inference, client: Client
) -> list[Answer]:
    """Return the answers of all rows. Raises EmoError: RequestError for a row that failed."""
    with model.use(), service.admission.call(client):
        begun = time.perf_counter()
        found = await service.answer_each(inference.utterances, model)
        model.statistics.add(found, time.perf_counter() - begun)
    answers = []
    for row, answer in enumerate(found):
        if isinstance(answer, EmoError):
            raise RequestError(f"row {row}: {answer}")
        answers.append(answer)
    return answers


def find_model(service: Service, name: str, version: str = "") -> Model:
    """Return the model of a name and version (empty: any). Raises UnknownBundleError."""
    model = service.models.get(name)
    if version not in {"", model.version}:
        raise UnknownBundleError(
            f"there is no such version of {model.name}: the only one is {model.version}."
        )
    return model


def metadata_of(model: Model) -> ModelMetadata:
    """Return the description of a model's tensors."""
    shapes = {"scores": [-1, len(model.recognizer.labels)]}
    inputs = [TensorMetadata(each, "BYTES", [-1]) for each in INPUTS]
    outputs = [TensorMetadata(each, kind, shapes.get(each, [-1])) for each, kind in OUTPUTS.items()]
    return ModelMetadata(model.name, [model.version], "onnxruntime", inputs, outputs)


def config_of(model: Model, max_batch: int) -> ModelConfig:
    """Return the configuration of a model."""
    dims = {"scores": [len(model.recognizer.labels)]}
    tensors = [
        [ModelConfigTensor(each, _TYPES[kind], dims.get(each, [1])) for each, kind in part.items()]
        for part in (dict.fromkeys(INPUTS, "BYTES"), OUTPUTS)
    ]
    return ModelConfig(model.name, "onnxruntime", max_batch, *tensors)


def _model(request: Request) -> Model:
    service: Service = request.app.state.service
    found = request.path_params
    return find_model(service, found["name"], found.get("version") or "")


_EXAMPLE = {
    "inputs": [
        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["¡Esto es una vergüenza!"]}
    ]
}
_NOT_READY = {503: "Overloaded, or stopping."}


def _model_endpoint(
    handler: Callable[[Request], Awaitable[Response]],
    part: str,
    summary: str,
    answer: type[Struct],
    *,
    method: str = "GET",
    errors: Sequence[int] = READ_ERRORS,
    **more: Any,
) -> Endpoint:
    """Return an endpoint of the model, with and without its version in the path."""
    return Endpoint(
        method,
        f"{_MODEL}{part}",
        handler,
        summary,
        _TAG,
        answer=answer,
        error=InferenceError,
        errors=(*errors, 404),
        aliases=[f"{_VERSION}{part}"],
        **more,
    )


ENDPOINTS = [
    Endpoint(
        "GET",
        "/v2",
        server_metadata,
        "Describe the server",
        _TAG,
        answer=ServerMetadata,
        error=InferenceError,
        errors=READ_ERRORS,
    ),
    Endpoint(
        "GET", "/v2/health/live", server_live, "Liveness probe", _TAG, answer=Live, is_open=True
    ),
    Endpoint(
        "GET",
        "/v2/health/ready",
        server_ready,
        "Readiness probe",
        _TAG,
        answer=Ready,
        also=_NOT_READY,
        is_open=True,
    ),
    Endpoint(
        "GET",
        "/v2/models/stats",
        statistics_of_all,
        "Statistics of all models",
        _TAG,
        answer=StatisticsResponse,
        error=InferenceError,
        errors=READ_ERRORS,
    ),
    _model_endpoint(model_metadata, "", "Describe the model's tensors", ModelMetadata),
    _model_endpoint(model_config, "/config", "Configuration of the model", ModelConfig),
    _model_endpoint(model_statistics, "/stats", "Statistics of the model", StatisticsResponse),
    _model_endpoint(model_ready, "/ready", "Readiness of the model", ModelReady, also=_NOT_READY),
    _model_endpoint(
        model_infer,
        "/infer",
        "Recognize rows of utterances",
        InferenceResponse,
        method="POST",
        errors=POST_ERRORS,
        body=InferenceRequest,
        example=_EXAMPLE,
    ),
]
