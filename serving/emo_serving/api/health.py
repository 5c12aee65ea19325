"""/healthz, /readyz and /metrics."""

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from emo_serving.api.openapi import READ_ERRORS, Endpoint, as_json
from emo_serving.api.schemas import ErrorBody, Status
from emo_serving.service import Service

_TAG = "health"


async def healthz(request: Request) -> Response:  # noqa: ARG001
    """200 while the process responds."""
    return as_json({"status": "ok"})


async def readyz(request: Request) -> Response:
    """503 under overload, and once the server is stopping."""
    service: Service = request.app.state.service
    return as_json({"status": service.status}, 200 if service.status == "ready" else 503)


async def metrics(request: Request) -> Response:
    """Prometheus' text format. It contains no text and no sound."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


ENDPOINTS = [
    Endpoint("GET", "/healthz", healthz, "Liveness probe", _TAG, answer=Status, is_open=True),
    Endpoint(
        "GET",
        "/readyz",
        readyz,
        "Readiness probe",
        _TAG,
        answer=Status,
        also={503: "Overloaded, or stopping."},
        is_open=True,
    ),
    Endpoint(
        "GET",
        "/metrics",
        metrics,
        "Counters, gauges and histograms for Prometheus",
        _TAG,
        answer="text/plain",
        error=ErrorBody,
        errors=READ_ERRORS,
    ),
]
