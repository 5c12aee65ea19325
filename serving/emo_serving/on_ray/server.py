"""Serve the application on Ray Serve until this process receives a signal."""

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from emo_runtime.bundle.reader import open_bundle
from emo_serving.on_ray.bundle_uri import from_anywhere, local_bundle
from emo_serving.on_ray.cluster import cluster
from emo_serving.server import listen
from emo_serving.settings import Settings

_POLL_S = 0.1


def serve_on_ray(
    settings: Settings,
    address: tuple[str, int],
    replicas: tuple[int, int],
    on_ready: Callable[[str, int], object],
) -> None:
    """Deploy the application until a signal.

    Args:
        settings: Options of the server.
        address: Host and port; port 0 takes a free one.
        replicas: Smallest and largest number of recognizers.
        on_ready: Called with host and port once requests are answered.

    Raises:
        EmoError: The bundle can't be opened, or Ray Serve can't deploy the application.
    """
    with local_bundle(settings.bundle) as bundle:
        open_bundle(bundle)
    settings = replace(settings, bundle=from_anywhere(settings.bundle))
    host, port = address
    port = port or _free_port(host, settings)
    with cluster():
        from emo_serving.on_ray.application import bind  # noqa: PLC0415  (after the cluster's variables)
        from emo_serving.on_ray.deployment import deployed  # noqa: PLC0415

        signals = Signals()
        with deployed(bind(settings, *replicas), (host, port), settings.drain_s):
            on_ready(host, port)
            signals.wait()


class Signals:
    """SIGTERM and SIGINT end ``wait``; before it, and the second time, they end the process."""

    def __init__(self) -> None:
        self._waiting = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> None:
        """Wait for a signal."""
        self._waiting = True
        while self._waiting:  # a lock could be held here while the handler needs it
            time.sleep(_POLL_S)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self._waiting:
            raise SystemExit(128 + number)
        self._waiting = False


def _free_port(host: str, settings: Settings) -> int:
    with listen(host, 0, stuck_s=settings.idle_s) as listening:
        return int(listening.getsockname()[1])
