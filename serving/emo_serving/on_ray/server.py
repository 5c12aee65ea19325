"""The application on Ray Serve, until this process is told to stop."""

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
    """Deploy at ``address`` (host, port), between ``replicas`` (fewest, most). ``told`` when ready.

    Raises EmoError where there is no such bundle, or Ray Serve does not get it to run.
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
    """SIGTERM and SIGINT end the waiting; before it, and at a second one, they end the process."""

    def __init__(self) -> None:
        self._waiting = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self) -> None:
        """Until one of them."""
        self._waiting = True
        while self._waiting:  # no lock, which a handler could never take while it is held here
            time.sleep(_POLL_S)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self._waiting:
            raise SystemExit(128 + number)
        self._waiting = False


def _free_port(host: str, settings: Settings) -> int:
    with listen(host, 0, stuck_s=settings.idle_s) as listening:
        return int(listening.getsockname()[1])
