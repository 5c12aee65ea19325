"""Deploy an application on the cluster's Ray Serve, and remove it at the end of a block."""

import contextlib
import time
from collections.abc import Iterator

from ray import serve
from ray.exceptions import RayError
from ray.serve import Application
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException

from emo_serving.errors import UnavailableError

NAME = "emo"
# Time that Ray needs to end a replica whose requests have ended.
_LAST_S = 10
_POLL_S = 0.2
_FAILURES = (RayError, RayServeException, RuntimeError, TimeoutError)


@contextlib.contextmanager
def deployed(application: Application, address: tuple[str, int], drain_s: float) -> Iterator[None]:
    """Serve the application at ``address``; at the end its requests have ``drain_s``.

    Other applications of the cluster are not changed. Raises UnavailableError.
    """
    try:
        _begin(address)
        with _deleted(drain_s):
            serve.run(application, name=NAME)
            yield
    except _FAILURES as error:
        raise UnavailableError(f"Ray Serve could not deploy the application: {error}") from None


def _begin(address: tuple[str, int]) -> None:
    if NAME in serve.status().applications:
        raise UnavailableError(
            f"the cluster already serves an application {NAME!r}: stop it, or use another cluster."
        )
    host, port = address
    serve.start(http_options={"host": host, "port": port})
    client = _get_global_client()
    if client is None:
        raise UnavailableError("Ray Serve did not start: see its logs.")
    running = client.http_config
    if (running.host, running.port) != address:
        raise UnavailableError(
            f"Ray Serve already listens on another address of this cluster: give --host "
            f"{running.host} --port {running.port}."
        )


@contextlib.contextmanager
def _deleted(drain_s: float) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(*_FAILURES):  # the first error is the one to report
            _delete(0)
        raise
    _delete(drain_s + _LAST_S)


def _delete(wait_s: float) -> None:
    """Delete the application as ``serve.delete`` does, which would wait for 60 s.

    Ray continues the deletion after ``wait_s``.
    """
    serve.delete(NAME, _blocking=False)
    end = time.monotonic() + wait_s
    while NAME in serve.status().applications and time.monotonic() < end:
        time.sleep(_POLL_S)
