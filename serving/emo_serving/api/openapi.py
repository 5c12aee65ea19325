"""OpenAPI: error responses and request bodies shared by the routes."""

from typing import Any

import msgspec
from fastapi import Response

from emo_serving.api.schemas import (
    ErrorBody,
)

_WRONG = {
    401: "The token is missing or wrong.",
    403: "A web page of another origin called.",
    408: "The body did not arrive in time.",
    413: "Beyond one of the limits.",
    415: "Neither JSON nor a multipart form.",
    422: "Malformed, or nothing that can be answered.",
    429: "As many calls as there may be are in progress; Retry-After says when to come again.",
    503: "Stopping, or no answer in time.",
}


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text} for status, text in _WRONG.items()
}


def request_body(model: Any, **others: Any) -> dict[str, Any]:
    """OpenAPI's words for a body that the route reads for itself."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    content = {"application/json": {"schema": schema}, **others}
    return {"requestBody": {"required": True, "content": content}}


def as_json(document: Any) -> Response:
    """A document as the body of an answer."""
    return Response(msgspec.json.encode(document), media_type="application/json")
