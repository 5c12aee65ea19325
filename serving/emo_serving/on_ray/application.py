"""The application on Ray Serve: replicas that take calls in, before a pool of recognizers."""

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
from emo_serving.settings import TOKEN_VARIABLE, Settings

# So that a recognizer is never idle between two; what waits elsewhere can still go elsewhere.
_HAND = 2
_FRONT_TARGET = 16
_BESIDES = 32  # what is neither a call nor a stream: pages, probes, metrics


@serve.ingress()
class Front:
    """The application of ``emo_serving.app``; it answers live calls itself."""

    def __init__(self, settings: Settings, pool: DeploymentHandle) -> None:
        token = settings.token or os.environ.get(TOKEN_VARIABLE) or None
        self._settings = replace(settings, token=token)
        self._pool = pool

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """As Ray Serve asks for it, in the replica."""
        return create_app(self._settings, lambda settings: PooledService(settings, self._pool))


def application(arguments: dict[str, Any] | None = None) -> Application:
    """What ``serve deploy`` and ``serve run`` build; ``arguments`` are fields of Settings.

    A token that is not given is the variable EMO_SERVE_TOKEN of the machine that a replica runs on.
    """
    return bind(Settings(**(arguments or {})))


def bind(settings: Settings, min_replicas: int = 1, max_replicas: int = 4) -> Application:
    """Both deployments, between so many replicas each, as their calls in progress ask for."""
    usual = {
        "ray_actor_options": {"num_cpus": CPUS},
        "graceful_shutdown_timeout_s": settings.drain_s,
        "max_constructor_retry_count": 2,
        "logging_config": {"enable_access_log": False},
    }
    scale = {"min_replicas": min_replicas, "max_replicas": max_replicas}
    pool = serve.deployment(
        PooledRecognizer,
        name="recognizer",
        max_ongoing_requests=2 * _HAND,
        autoscaling_config={**scale, "target_ongoing_requests": _HAND},
        **usual,
    )
    front = serve.deployment(
        Front,
        name="front",
        max_ongoing_requests=settings.max_waiting + settings.max_streams + _BESIDES,
        autoscaling_config={**scale, "min_replicas": 1, "target_ongoing_requests": _FRONT_TARGET},
        **usual,
    )
    return front.bind(settings, pool.bind(replace(settings, token=None)))
