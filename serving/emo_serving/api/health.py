"""/healthz, /readyz and /metrics."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from emo_serving.api.openapi import ERRORS, as_json
from emo_serving.api.schemas import Ready
from emo_serving.service import Service

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Is it alive?", response_model=Ready)
async def healthz() -> Response:
    """200 as long as the process answers at all."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz",
    summary="Should it be sent calls?",
    responses={200: {"model": Ready}, 503: {"model": Ready, "description": "Stopping."}},
    response_class=Response,
)
async def readyz(request: Request) -> Response:
    """200 from the first possible call on, 503 once the server was told to stop."""
    service: Service = request.app.state.service
    if service.gate.draining:
        stopping = as_json({"status": "stopping"})
        stopping.status_code = 503
        return stopping
    return as_json({"status": "ready"})


@router.get(
    "/metrics",
    summary="Counters and histograms for Prometheus",
    responses={200: {"content": {"text/plain": {}}}, 401: ERRORS[401]},
    response_class=Response,
)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format. No text and no sound is in it."""
    service: Service = request.app.state.service
    return Response(generate_latest(service.registry), media_type=CONTENT_TYPE_LATEST)
