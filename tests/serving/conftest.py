"""The application around the default bundle, in this process; and a recognizer that can be held."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from emo_runtime import EmotionRecognizer
from emo_serving.app import create_app
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.corpora import CLIPS, DEFAULT_BUNDLE
from helpers.servers import RunningServer, running_server

BUNDLE = str(DEFAULT_BUNDLE)


class HeldRecognizer(EmotionRecognizer):
    """Answers only while ``go`` is set."""

    go = threading.Event()

    def recognize(self, *arguments: Any, **options: Any) -> Any:
        """As ever, but later."""
        assert self.go.wait(30)
        return super().recognize(*arguments, **options)


@pytest.fixture(scope="session")
def recognizer() -> Iterator[EmotionRecognizer]:
    with EmotionRecognizer.open(BUNDLE, threads=2, mode="throughput") as opened:
        yield opened


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundle=BUNDLE, threads=2))) as session:
        yield session


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., TestClient]]:
    """``start(**settings)``: a client of an application of the test's own."""
    running: list[TestClient] = []

    def enter(opened: Any = EmotionRecognizer.open, **settings: Any) -> TestClient:
        app = create_app(
            Settings(bundle=BUNDLE, **({"threads": 2} | settings)),
            lambda chosen: Service(chosen, opened),
        )
        client = TestClient(app)
        client.__enter__()
        running.append(client)
        return client

    yield enter
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def held() -> Iterator[type[HeldRecognizer]]:
    """Clear ``held.go`` and no call is answered until it is set again."""
    HeldRecognizer.go.set()
    yield HeldRecognizer
    HeldRecognizer.go.set()


@pytest.fixture(scope="session")
def clip() -> bytes:
    return (CLIPS / "queja.flac").read_bytes()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server that all tests share, in a process of its own."""
    with running_server("--threads", "2") as running:
        yield running
