"""Fixtures: the application with emo-es-small, a server process, a recognizer that waits."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from emo_runtime import EmotionRecognizer
from emo_serving.app import create_app
from emo_serving.on_grpc.port import reserve_port
from emo_serving.server import Server, listen
from emo_serving.service import Service
from emo_serving.settings import Settings
from helpers.corpora import CLIPS, SMALL_BUNDLE
from helpers.servers import RunningServer, running_server

BUNDLE = str(SMALL_BUNDLE)
URL = "http://localhost"
# TestClient names the host of its WebSockets "testserver".
ANY_HOST = ("*",)


class HeldRecognizer(EmotionRecognizer):
    """A recognizer that answers only while ``go`` is set."""

    go = threading.Event()

    def recognize(self, *arguments: Any, **options: Any) -> Any:
        """Wait for ``go``, then answer."""
        assert self.go.wait(300)
        return super().recognize(*arguments, **options)


@pytest.fixture(scope="session")
def recognizer() -> Iterator[EmotionRecognizer]:
    with EmotionRecognizer.open(BUNDLE, threads=2, mode="throughput") as opened:
        yield opened


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with TestClient(
        create_app(Settings(bundle=BUNDLE, threads=2, allowed_hosts=ANY_HOST)), base_url=URL
    ) as session:
        yield session


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., TestClient]]:
    """``start(**settings)``: a client of an application with these settings."""
    running: list[TestClient] = []

    def enter(opened: Any = EmotionRecognizer.open, **settings: Any) -> TestClient:
        options = {"bundle": BUNDLE, "threads": 2, "allowed_hosts": ANY_HOST} | settings
        app = create_app(Settings(**options), lambda chosen: Service(chosen, opened))
        client = TestClient(app, base_url=URL)
        client.__enter__()
        running.append(client)
        return client

    yield enter
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def held() -> Iterator[type[HeldRecognizer]]:
    """The class HeldRecognizer: clear ``held.go``, and no request is answered until it is set."""
    HeldRecognizer.go.set()
    yield HeldRecognizer
    HeldRecognizer.go.set()


@dataclass
class ServerInThread:
    """A server with the given settings, in a thread of this process."""

    service: Service
    server: Server
    thread: threading.Thread
    address: tuple[str, int]
    audiosocket: tuple[str, int] | None = None
    grpc_port: int = 0

    @property
    def url(self) -> str:
        """URL of the page."""
        return "http://{}:{}/".format(*self.address)

    def stop(self) -> None:
        """Start the graceful shutdown, as SIGTERM does."""
        self.server.handle_exit(signal.SIGTERM, None)

    def join(self) -> None:
        """Wait for the server's end."""
        self.thread.join(300)
        assert not self.thread.is_alive()


@pytest.fixture
def serving() -> Iterator[Callable[..., ServerInThread]]:
    """``serving(**settings)``: start a ServerInThread."""
    running: list[ServerInThread] = []

    def begin(
        opened: Any = EmotionRecognizer.open,
        *,
        audiosocket: bool = False,
        grpc: bool = False,
        **settings: Any,
    ) -> ServerInThread:
        options = {"threads": 1, "grace_s": 0.0, "drain_s": 0.0, "access_log": False} | settings
        service = Service(Settings(bundle=BUNDLE, **options), opened)
        listening = listen("127.0.0.1", 0, 60)
        calls = listen("127.0.0.1", 0, 60) if audiosocket else None
        ready = threading.Event()
        reserved = reserve_port("127.0.0.1", 0) if grpc else None
        address = reserved.getsockname() if reserved else None
        server = Server(service, ready.set, audiosocket=calls, grpc=address)
        thread = threading.Thread(target=server.run, args=([listening],))
        started = ServerInThread(service, server, thread, listening.getsockname())
        if reserved is not None:
            started.grpc_port = reserved.getsockname()[1]
            reserved.close()
        started.audiosocket = calls.getsockname() if calls else None
        running.append(started)
        thread.start()
        assert ready.wait(300)
        return started

    yield begin
    for started in running:
        if started.thread.is_alive():
            started.server.should_exit = True
            started.join()


@pytest.fixture(scope="session")
def clip() -> bytes:
    return (CLIPS / "queja.flac").read_bytes()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server process shared by all tests."""
    with running_server("--threads", "2") as running:
        yield running
