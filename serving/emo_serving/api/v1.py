"""POST /v1/recognize and /v1/recognize/batch, GET /v1/bundle."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from emo_runtime import Answer, EmoError
from emo_serving.api.bodies import (
    FORM,
    JSON,
    body_limit,
    check_media_type,
    parse_utterance,
    received_body,
    requested_model,
)
from emo_serving.api.openapi import BUNDLE, POST_ERRORS, READ_ERRORS, Endpoint, as_json
from emo_serving.api.schemas import (
    TASKS,
    BatchAnswer,
    BatchBody,
    Description,
    ErrorBody,
    UtteranceBody,
    decode_batch,
)
from emo_serving.context import client_of
from emo_serving.errors import body_of
from emo_serving.service import Service

_TAG = "recognize"
_TEXT = "¡Esto es una vergüenza!"
_FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "audio": {"type": "string", "format": "binary"},
        "task": {"type": "string", "enum": list(TASKS)},
        "bundle": {"type": "string"},
    },
}


async def recognize(request: Request) -> Response:
    """JSON with text and base64 sound, or a multipart form with a field text and a file audio."""
    service: Service = request.app.state.service
    check_media_type(request, JSON, FORM)
    limit = body_limit(request, service.settings)
    async with received_body(request, service.settings, service.admission, limit) as body:
        asked = parse_utterance(request, body)
        with (
            requested_model(request, asked.bundle).use() as model,
            service.admission.call(client_of(request.scope)),
        ):
            answer = await service.answer(asked.utterance, model)
    return as_json(answer.to_dict())


async def recognize_batch(request: Request) -> Response:
    """Answers in the order of the utterances; for one that fails, or is malformed, its error."""
    service: Service = request.app.state.service
    check_media_type(request, JSON)
    limit = body_limit(request, service.settings)
    async with received_body(request, service.settings, service.admission, limit) as body:
        batch = decode_batch(body, service.settings.max_batch)
        with (
            requested_model(request, batch.bundle).use() as model,
            service.admission.call(client_of(request.scope)),
        ):
            answers = await service.answer_each(batch.rows, model)
    return as_json({"answers": [_row(answer) for answer in answers]})


async def bundle(request: Request) -> Response:
    """The result of ``EmotionRecognizer.describe()``, without paths, and the server's limits."""
    service: Service = request.app.state.service
    return as_json(service.describe(requested_model(request)))


def _row(answer: Answer | EmoError) -> dict[str, Any]:
    return {"error": body_of(answer)} if isinstance(answer, EmoError) else answer.to_dict()


ENDPOINTS = [
    Endpoint(
        "POST",
        "/v1/recognize",
        recognize,
        "Recognize one utterance",
        _TAG,
        answer=Answer,
        body=UtteranceBody,
        bodies={FORM: _FORM},
        example={"text": _TEXT},
        error=ErrorBody,
        errors=(*POST_ERRORS, 404),
        parameters=[BUNDLE],
    ),
    Endpoint(
        "POST",
        "/v1/recognize/batch",
        recognize_batch,
        "Recognize several utterances",
        _TAG,
        answer=BatchAnswer,
        body=BatchBody,
        example={"utterances": [{"text": _TEXT}, {"text": "Qué alegría."}]},
        error=ErrorBody,
        errors=(*POST_ERRORS, 404),
        parameters=[BUNDLE],
    ),
    Endpoint(
        "GET",
        "/v1/bundle",
        bundle,
        "Describe the bundle, its runtime and the limits",
        _TAG,
        answer=Description,
        error=ErrorBody,
        errors=(*READ_ERRORS, 404),
        parameters=[BUNDLE],
    ),
]
