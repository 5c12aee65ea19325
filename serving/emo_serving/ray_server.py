"""The application on Ray Serve, until this process is told to stop."""

import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import replace

from emo_runtime.bundle import open_bundle
from emo_serving.bundle_uri import from_anywhere, local_bundle
from emo_serving.cluster import cluster
from emo_serving.errors import UnavailableError
from emo_serving.settings import Settings


def serve_on_ray(
    settings: Settings,
    address: tuple[str, int],
    replicas: tuple[int, int],
    told: Callable[[str, int], object],
) -> None:
    """Deploy at ``address`` (host, port), between ``replicas`` (fewest, most). ``told`` when ready.

    Raises EmoError where there is no such bundle, or Ray Serve does not get it to run.
    """
    with local_bundle(settings.bundle) as bundle:
        open_bundle(bundle)
    settings = replace(settings, bundle=from_anywhere(settings.bundle))
    host, port = address
    port = port or _free_port(host)
    stop = threading.Event()
    with cluster():
        from ray import serve  # noqa: PLC0415  (after the cluster's variables)

        from emo_serving.ray_app import bind  # noqa: PLC0415

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            serve.start(http_options={"host": host, "port": port})
            serve.run(bind(settings, *replicas), name="emo")
            told(host, port)
            stop.wait()
        except RuntimeError as error:
            raise UnavailableError(f"Ray Serve could not deploy the application: {error}") from None
        finally:
            serve.delete("emo")  # others may be served by the same cluster


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as listening:
        return int(listening.getsockname()[1])
