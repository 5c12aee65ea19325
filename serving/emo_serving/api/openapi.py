"""Endpoints with their types, and the OpenAPI 3.1 document generated from them."""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emo_runtime import __version__

_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTION = "Emotion recognition for Spanish utterances: from sound, from a transcript, or both."
_ERROR_TEXTS = {
    401: "The token is missing or wrong.",
    403: "It came from a web page of another origin, or is not permitted.",
    404: "There is no such bundle, model or call.",
    408: "The body did not arrive in time.",
    413: "The request is beyond one of the limits.",
    415: "The body's media type or content encoding is not supported.",
    421: "The Host header names another server.",
    422: "The request is malformed, or can't be answered.",
    429: "Too many requests are in progress; try again after Retry-After seconds.",
    500: "Internal server error; see the server log.",
    503: "The server is stopping, or there was no answer in time.",
}
READ_ERRORS = (401, 421, 500)
BUNDLE: dict[str, Any] = {
    "name": "bundle",
    "in": "query",
    "required": False,
    "description": "Name of the bundle that answers; default: the server's first.",
    "schema": {"type": "string"},
}
POST_ERRORS = tuple(status for status in _ERROR_TEXTS if status != 404)


@dataclass(frozen=True)
class Endpoint:
    """A route together with what OpenAPI says about it.

    Args:
        answer: Type of the JSON response, or a media type.
        body: Type of the JSON request body; ``bodies`` has the schemas of other media types.
        error: Type of the error responses; ``errors`` are their status codes.
        also: Other status codes whose response has the type ``answer``.
        aliases: Further paths that are not documented.
    """

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Response]]
    summary: str
    tag: str
    answer: Any
    body: Any = None
    bodies: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    example: Any = None
    error: Any = None
    errors: Sequence[int] = ()
    also: Mapping[int, str] = field(default_factory=dict)
    parameters: Sequence[dict[str, Any]] = ()
    aliases: Sequence[str] = ()
    is_open: bool = False

    def routes(self) -> list[Route]:
        """Return Starlette's routes; GET answers HEAD too."""
        return [
            Route(path, self.handler, methods=[self.method]) for path in (self.path, *self.aliases)
        ]


def build_document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI document of the endpoints."""
    types = [
        kind
        for endpoint in endpoints
        for kind in (endpoint.answer, endpoint.body, endpoint.error)
        if kind is not None and not isinstance(kind, str)
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known = dict(zip(map(id, types), schemas, strict=True))
    sent = _referenced([known[id(each.body)] for each in endpoints if each.body], components)
    sparse = {kind.__name__ for kind in types if _omits_defaults(kind)}
    for name, component in components.items():
        component["description"] = inspect.cleandoc(component.get("description", ""))
        _fit_generators(component)
        if name not in sent | sparse and component.get("properties"):
            component["required"] = list(component["properties"])  # a response has all of them
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, known)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "emo-runtime", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _referenced(schemas: Sequence[Any], components: Mapping[str, Any]) -> set[str]:
    """Return the names of the components that schemas refer to, directly or not."""
    found: set[str] = set()
    names = set(re.findall(r"#/components/schemas/(\w+)", str(schemas)))
    while names:
        found |= names
        texts = str([components[name] for name in names])
        names = set(re.findall(r"#/components/schemas/(\w+)", texts)) - found
    return found


def _omits_defaults(kind: Any) -> bool:
    """True for a type whose values are sent without the fields that have their default."""
    config = getattr(kind, "__struct_config__", None)
    return config is not None and config.omit_defaults


def _fit_generators(schema: dict[str, Any]) -> None:
    """Change a schema to what generated clients need; it accepts the same documents.

    openapi-typescript takes a property with a default for a required one, and an object without
    described properties for an empty one.
    """
    for part in schema.get("properties", {}).values():
        part.pop("default", None)
        _fit_generators(part)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            _fit_generators(schema[inner])
    if schema.get("type") == "object" and "properties" not in schema:
        schema.setdefault("additionalProperties", True)


def _operation(endpoint: Endpoint, known: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    responses = {"200": _response("The answer.", endpoint.answer, known)}
    for status, text in endpoint.also.items():
        responses[str(status)] = _response(text, endpoint.answer, known)
    for status in endpoint.errors:
        responses[str(status)] = _response(_ERROR_TEXTS[status], endpoint.error, known)
    names = re.findall(r"{(\w+)}", endpoint.path)
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__.strip("_"),
        "summary": endpoint.summary,
        "description": inspect.getdoc(endpoint.handler) or "",
        "tags": [endpoint.tag],
        "parameters": [*path_parameters, *endpoint.parameters],
        "responses": responses,
    }
    if endpoint.is_open:
        operation["security"] = []
    content: dict[str, Any] = {kind: {"schema": schema} for kind, schema in endpoint.bodies.items()}
    if endpoint.body is not None:
        content["application/json"] = {"schema": known[id(endpoint.body)]}
        if endpoint.example is not None:
            content["application/json"]["example"] = endpoint.example
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _response(text: str, kind: Any, known: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"description": text, "content": {kind: {"schema": {"type": "string"}}}}
    return {"description": text, "content": {"application/json": {"schema": known[id(kind)]}}}


def as_json(document: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(document), status, media_type="application/json")
