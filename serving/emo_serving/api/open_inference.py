"""The Open Inference Protocol (v2): what KServe's and Triton's clients speak."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from emo_runtime import EmoError, __version__
from emo_serving.api.bodies import read_body
from emo_serving.api.openapi import ERRORS, request_body
from emo_serving.api.schemas import InferErrorBody
from emo_serving.api.tensors import INPUTS, OUTPUTS, encode_inference, parse_inference
from emo_serving.errors import MediaTypeError, NotFoundError, RequestError
from emo_serving.service import Service

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": InferErrorBody, "description": words["description"]}
    for status, words in ERRORS.items()
}
_GET_ERRORS: dict[int | str, dict[str, Any]] = {
    401: _ERRORS[401],
    404: {"model": InferErrorBody, "description": "There is no such model."},
}
_HEADER = "Inference-Header-Content-Length"

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class TensorBody(BaseModel):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferenceBody(BaseModel):
    """A request: text and/or audio (base64 in JSON), [rows] of BYTES each."""

    model_config = ConfigDict(
        json_schema_extra={
            "properties": {
                "id": {"type": "string"},
                "inputs": {"type": "array", "items": {"type": "object"}},
                "outputs": {"type": "array", "items": {"type": "object"}},
            },
            "examples": [
                {
                    "inputs": [
                        {
                            "name": "text",
                            "shape": [1],
                            "datatype": "BYTES",
                            "data": ["¡Esto es una vergüenza!"],
                        }
                    ]
                }
            ],
        }
    )

    inputs: list[Any]


class InferenceAnswer(BaseModel):
    """An answer: label [rows] and scores [rows, labels]."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[TensorBody]


@router.get("", summary="The server")
async def server() -> dict[str, Any]:
    """Its name, version and extensions."""
    return {"name": "emo-runtime", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", summary="Is it alive?")
async def live() -> dict[str, bool]:
    """200 as long as the process answers."""
    return {"live": True}


@router.get(
    "/health/ready", summary="Should it be sent calls?", responses={503: {"description": "No."}}
)
async def ready(request: Request, response: Response) -> dict[str, bool]:
    """503 once the server was told to stop."""
    draining = request.app.state.service.gate.draining
    response.status_code = 503 if draining else 200
    return {"ready": not draining}


@router.get("/models/{name}", summary="The model's tensors", responses=_GET_ERRORS)
@router.get("/models/{name}/versions/{version}", include_in_schema=False)
async def model(request: Request, name: str, version: str | None = None) -> dict[str, Any]:
    """Names, types and shapes; -1 stands for the rows."""
    service: Service = request.app.state.service
    known, number = _check_name(service, name, version)
    labels = len(service.recognizer.labels)
    shapes = {"scores": [-1, labels]}
    return {
        "name": known,
        "versions": [number],
        "platform": "onnxruntime",
        "inputs": [{"name": each, "datatype": "BYTES", "shape": [-1]} for each in INPUTS],
        "outputs": [
            {"name": each, "datatype": kind, "shape": shapes.get(each, [-1])}
            for each, kind in OUTPUTS.items()
        ],
    }


@router.get("/models/{name}/ready", summary="Is the model ready?", responses=_GET_ERRORS)
@router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
async def model_ready(
    request: Request, response: Response, name: str, version: str | None = None
) -> dict[str, Any]:
    """As for the server."""
    service: Service = request.app.state.service
    known, _ = _check_name(service, name, version)
    response.status_code = 503 if service.gate.draining else 200
    return {"name": known, "ready": not service.gate.draining}


@router.post(
    "/models/{name}/infer",
    summary="Rows of utterances",
    responses={200: {"model": InferenceAnswer}, **_ERRORS, **_GET_ERRORS, 400: _ERRORS[422]},
    response_class=Response,
    openapi_extra=request_body(InferenceBody),
)
@router.post("/models/{name}/versions/{version}/infer", include_in_schema=False)
async def infer(request: Request, name: str, version: str | None = None) -> Response:
    """JSON or binary tensors; the request fails as a whole where one of its rows does."""
    service: Service = request.app.state.service
    known, number = _check_name(service, name, version)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise MediaTypeError("compressed bodies are not read: send it as it is.")
    declared = request.headers.get(_HEADER)
    if declared is not None and not (declared.isascii() and declared.isdigit()):
        raise RequestError(f"{_HEADER} is no number of bytes.")
    body = await read_body(request, service.settings)
    length = None if declared is None else int(declared[:20])
    inference = parse_inference(body, length, service.settings.max_batch)
    answers = []
    for row, answer in enumerate(await service.answer_each(inference.utterances)):
        if isinstance(answer, EmoError):
            raise RequestError(f"row {row}: {answer}")
        answers.append(answer)
    content, json_length = encode_inference(inference, answers, known, number)
    if json_length is None:
        return Response(content, media_type="application/json")
    headers = {_HEADER: str(json_length)}
    return Response(content, headers=headers, media_type="application/octet-stream")


def _check_name(service: Service, name: str, version: str | None) -> tuple[str, str]:
    manifest = service.recognizer.manifest
    if name != manifest.name or version not in {None, "", manifest.version}:
        raise NotFoundError(f"there is one model here: {manifest.name}, {manifest.version}.")
    return manifest.name, manifest.version
