"""Deployment on Ray Serve and signal handling, without a cluster."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import pytest

from emo_serving.errors import UnavailableError
from emo_serving.on_ray.server import Signals

# Ray Serve's own, as it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using extra keyword arguments on:DeprecationWarning"
)
ADDRESS = ("127.0.0.1", 8000)


@pytest.fixture
def handlers():
    """The process's own, put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class FakeServe:
    """Ray Serve with these applications; ``run`` raises ``error`` once it has begun."""

    def __init__(self, *applications, error=None, deletion=None):
        self.applications = set(applications)
        self.error, self.deletion = error, deletion

    def start(self, http_options):
        pass

    def status(self):
        return SimpleNamespace(applications=dict.fromkeys(self.applications))

    def run(self, application, name):
        self.applications.add(name)
        if self.error is not None:
            raise self.error

    def delete(self, name, _blocking):
        if self.deletion is not None:
            raise self.deletion
        self.applications.remove(name)


def deploy(monkeypatch, fake, running=ADDRESS):
    """In a function: what it imports imports Ray, which reads the environment then."""
    from emo_serving.on_ray import deployment as ray_deployment

    host, port = running
    client = SimpleNamespace(http_config=SimpleNamespace(host=host, port=port))
    monkeypatch.setattr(ray_deployment, "serve", fake)
    monkeypatch.setattr(ray_deployment, "_get_global_client", lambda: client)
    with ray_deployment.deployed(object(), ADDRESS, 1.0):
        return set(fake.applications)


def test_what_was_deployed_goes_and_others_stay(monkeypatch):
    fake = FakeServe("others")
    assert deploy(monkeypatch, fake) == {"others", "emo"}
    assert fake.applications == {"others"}


def test_another_application_of_the_same_name_is_not_changed(monkeypatch):
    fake = FakeServe("emo")
    with pytest.raises(UnavailableError, match="already"):
        deploy(monkeypatch, fake)
    assert fake.applications == {"emo"}


def test_another_address_is_reported(monkeypatch):
    fake = FakeServe()
    with pytest.raises(UnavailableError, match=r"--host 0\.0\.0\.0 --port 9000"):
        deploy(monkeypatch, fake, ("0.0.0.0", 9000))
    assert fake.applications == set()


def test_the_first_of_rays_errors_is_raised_as_an_emo_error(monkeypatch):
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    for error in (RayError("first"), RayServeException("first"), RuntimeError("first")):
        fake = FakeServe(error=error)
        with pytest.raises(UnavailableError, match="first"):
            deploy(monkeypatch, fake)
        assert fake.applications == set()
        with pytest.raises(UnavailableError, match="first"):
            deploy(monkeypatch, FakeServe(error=error, deletion=RayError("second")))
    with pytest.raises(SystemExit):
        deploy(monkeypatch, FakeServe(error=SystemExit(143), deletion=RayError("second")))


def kill_this(number):
    os.kill(os.getpid(), number)


def test_a_signal_ends_what_does_not_wait_yet(handlers):
    Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        with pytest.raises(SystemExit) as ended:
            kill_this(number)
        assert ended.value.code == 128 + number


def test_the_second_signal_ends_at_once(handlers):
    signals = Signals()
    threading.Timer(0.2, kill_this, [signal.SIGTERM]).start()
    signals.wait()
    with pytest.raises(SystemExit) as ended:
        kill_this(signal.SIGINT)
    assert ended.value.code == 130


def test_rays_handler_of_sigterm_does_not_stay(handlers, monkeypatch):
    import ray

    from emo_serving.on_ray.cluster import cluster

    def init(**_):
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "cluster_resources", dict)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    ours = signal.getsignal(signal.SIGTERM)
    with cluster():
        assert signal.getsignal(signal.SIGTERM) is ours
