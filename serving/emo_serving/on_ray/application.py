"""The application on Ray Serve: front ends that accept requests, and a pool of recognizers."""

import os
from dataclasses import replace
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from emo_serving.app import create_app
from emo_serving.on_ray.cluster import CPUS
from emo_serving.on_ray.pool import PooledRecognizer, PooledService
from emo_serving.settings import TOKEN_VARIABLE, WEBHOOK_SECRET_VARIABLE, Settings
from emo_serving.tokens import Token

# Requests for each recognizer: one in progress and the next. Others wait where any can take them.
_REQUESTS_EACH = 2
_FRONT_TARGET = 16
_OTHER_REQUESTS = 32  # pages, probes and metrics, beside recognition and live calls


@serve.ingress()
class Front:
    """The application of ``emo_serving.app``. It handles live calls itself."""

    def __init__(self, settings: Settings, pool: DeploymentHandle[PooledRecognizer]) -> None:
        secret = os.environ.get(TOKEN_VARIABLE)
        if secret and not settings.tokens:
            settings = replace(settings, tokens=(Token(secret),))
        webhook_secret = os.environ.get(WEBHOOK_SECRET_VARIABLE)
        if webhook_secret and settings.webhook_secret is None:
            settings = replace(settings, webhook_secret=webhook_secret)
        self._settings = settings
        self._pool = pool

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Create the application. Ray Serve calls this in the replica."""
        return create_app(self._settings, lambda settings: PooledService(settings, self._pool))


def application(arguments: dict[str, Any] | None = None) -> Application:
    """Build the application for ``serve deploy`` and ``serve run``.

    ``arguments`` are fields of Settings. Without tokens, EMO_SERVE_TOKEN of the machine that a
    replica runs on is the token.
    """
    return bind(Settings(**(arguments or {})))


def bind(settings: Settings, min_replicas: int = 1, max_replicas: int = 4) -> Application:
    """Bind both deployments; Ray Serve scales each by its requests in progress."""
    usual: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": CPUS},
        "graceful_shutdown_timeout_s": settings.drain_s,
        "max_constructor_retry_count": 2,
        "logging_config": {"enable_access_log": False},
    }
    scale = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    pool = serve.deployment(
        name="recognizer",
        max_ongoing_requests=2 * _REQUESTS_EACH,
        autoscaling_config={**scale, "target_ongoing_requests": _REQUESTS_EACH},
        **usual,
    )(PooledRecognizer)
    front = serve.deployment(
        name="front",
        max_ongoing_requests=settings.max_waiting + settings.max_streams + _OTHER_REQUESTS,
        autoscaling_config={**scale, "min_replicas": 1, "target_ongoing_requests": _FRONT_TARGET},
        **usual,
    )(Front)
    bound: Application = front.bind(
        settings, pool.bind(replace(settings, tokens=(), webhook_secret=None))
    )
    return bound
