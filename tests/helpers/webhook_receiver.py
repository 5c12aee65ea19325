"""An HTTP server that receives webhooks."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """Requests in the order of their arrival, as (headers, body)."""

    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextlib.contextmanager
def receiving(
    respond: Callable[[int], tuple[int, dict[str, str]]] = lambda _: (204, {}),
) -> Iterator[Receiver]:
    """Receive webhooks until the block ends; ``respond(number)`` is the status and headers.

    The body has the ``content-length`` of these headers.
    """
    receiver = Receiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                number = len(receiver.requests)
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((headers, body))
                receiver.paths.append(self.path)
            status, more = respond(number)
            self.send_response(status)
            for name, value in ({"content-length": "0"} | more).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(int(more.get("content-length", "0")) >> 16):
                    self.wfile.write(bytes(1 << 16))

        def log_message(self, *arguments: object) -> None:
            """Write no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
