"""POST /v1/recognize and /v1/recognize/batch, GET /v1/bundle."""

from typing import Any

from fastapi import APIRouter, Request, Response

from emo_runtime import Answer, EmoError
from emo_serving.api.bodies import media_type, parse, read_body, read_utterance
from emo_serving.api.openapi import ERRORS, as_json, request_body
from emo_serving.api.schemas import (
    AnswerBody,
    BatchAnswerBody,
    BatchBody,
    Description,
    UtteranceBody,
)
from emo_serving.errors import MediaTypeError, body_of
from emo_serving.service import Service

_FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "audio": {"type": "string", "format": "binary"},
        "task": {"type": "string", "enum": ["text", "fusion", "audio"]},
    },
}

router = APIRouter(prefix="/v1", tags=["recognize"])


@router.post(
    "/recognize",
    summary="The emotion of one utterance",
    responses={200: {"model": AnswerBody}, **ERRORS},
    response_class=Response,
    openapi_extra=request_body(UtteranceBody, **{"multipart/form-data": {"schema": _FORM}}),
)
async def recognize(request: Request) -> Response:
    """JSON with text and base64 sound, or a multipart form with a field text and a file audio."""
    service: Service = request.app.state.service
    utterance = await read_utterance(request, service.settings)
    return as_json((await service.answer(utterance)).to_dict())


@router.post(
    "/recognize/batch",
    summary="The emotions of several utterances",
    responses={200: {"model": BatchAnswerBody}, **ERRORS},
    response_class=Response,
    openapi_extra=request_body(BatchBody),
)
async def recognize_batch(request: Request) -> Response:
    """Answers in the order of the utterances; one that fails does not spoil the others."""
    service: Service = request.app.state.service
    if media_type(request) != "application/json":
        raise MediaTypeError("send the batch as application/json.")
    batch = parse(BatchBody, await read_body(request, service.settings))
    found = await service.answer_each([body.utterance() for body in batch.utterances])
    return as_json({"answers": [_row(answer) for answer in found]})


@router.get(
    "/bundle",
    summary="What is served, what runs it, and the limits",
    responses={200: {"model": Description}, 401: ERRORS[401]},
    response_class=Response,
)
async def bundle(request: Request) -> Response:
    """As ``EmotionRecognizer.describe()`` tells it."""
    service: Service = request.app.state.service
    return as_json(service.describe())


def _row(answer: Answer | EmoError) -> dict[str, Any]:
    return {"error": body_of(answer)} if isinstance(answer, EmoError) else answer.to_dict()
