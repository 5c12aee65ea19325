"""The model repository extension of the Open Inference Protocol: index, load, unload.

Loading and unloading change the server for all clients: they need ``--model-control`` and a token
that permits them.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from emo_runtime import EmoError
from emo_serving.admission import Client
from emo_serving.api.bodies import received_body
from emo_serving.api.open_inference import InferenceError
from emo_serving.api.openapi import POST_ERRORS, Endpoint, as_json
from emo_serving.api.schemas import Body, decode
from emo_serving.context import client_of
from emo_serving.errors import ControlError, LoadError, RequestError, UnknownBundleError
from emo_serving.models import ModelState
from emo_serving.service import Service

_TAG = "Open Inference Protocol"
_MAX_BODY_BYTES = 64 << 10
# Triton's parameters that change what is loaded, and are not available here.
_REFUSED = "config"


class IndexRequest(Struct, omit_defaults=True):
    """Which models to list."""

    ready: bool = False


class LoadRequest(Struct, omit_defaults=True):
    """Parameters of loading and unloading; ``config`` and ``file:...`` are refused."""

    parameters: dict[str, Any] = {}


class LoadResponse(Struct):
    """Empty."""


async def repository_index(request: Request) -> Response:
    """Loaded models, and those that can be loaded, with the reason of the last failure."""
    service: Service = request.app.state.service
    given = await _body(request, IndexRequest)
    return as_json(service.models.index(ready_only=given.ready))


async def model_load(request: Request) -> Response:
    """Load a bundle, or load it again; if that fails, one that is loaded goes on."""
    service: Service = request.app.state.service
    given = await _body(request, LoadRequest)
    await load(service, client_of(request.scope), request.path_params["name"], given.parameters)
    return as_json(LoadResponse())


async def model_unload(request: Request) -> Response:
    """Unload a bundle; requests and live calls that use it go on."""
    service: Service = request.app.state.service
    await _body(request, LoadRequest)
    await unload(service, client_of(request.scope), request.path_params["name"])
    return as_json(LoadResponse())


async def load(service: Service, client: Client, name: str, parameters: Any = ()) -> None:
    """Load a bundle. Raises ControlError, RequestError, UnknownBundleError, LoadError."""
    _check_control(service, client)
    if any(key == _REFUSED or key.startswith("file:") for key in parameters):
        raise RequestError("configurations and files can't be sent: bundles are loaded from disk.")
    try:
        await service.models.load(name)
    except UnknownBundleError:
        raise
    except (EmoError, OSError) as error:
        raise LoadError(f"{name}: {error}") from None


async def unload(service: Service, client: Client, name: str) -> None:
    """Unload a bundle. Raises ControlError, UnknownBundleError."""
    _check_control(service, client)
    await service.models.unload(name)


def _check_control(service: Service, client: Client) -> None:
    if not service.settings.model_control:
        raise ControlError(
            "loading and unloading is switched off: the server's owner can allow it "
            "(--model-control)."
        )
    if not client.may_control:
        raise ControlError("this token does not permit it: the token file can (model_control).")


async def _body(request: Request, kind: type[Body]) -> Body:
    service: Service = request.app.state.service
    async with received_body(
        request, service.settings, service.admission, _MAX_BODY_BYTES
    ) as content:
        return decode(kind, content or b"{}")


def _endpoint(
    path: str,
    handler: Callable[[Request], Awaitable[Response]],
    summary: str,
    answer: Any,
    body: type[Struct],
) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        handler,
        summary,
        _TAG,
        answer=answer,
        body=body,
        error=InferenceError,
        errors=(*POST_ERRORS, 404),
    )


_NAMED = "/v2/repository/models/{name}/"
ENDPOINTS = [
    _endpoint(
        "/v2/repository/index",
        repository_index,
        "List the models",
        list[ModelState],
        IndexRequest,
    ),
    _endpoint(f"{_NAMED}load", model_load, "Load a model", LoadResponse, LoadRequest),
    _endpoint(f"{_NAMED}unload", model_unload, "Unload a model", LoadResponse, LoadRequest),
]
