"""Admission control: limits on requests, live calls and buffered bodies; a short queue on overload.

A burst may fill the queue, and every request of it is answered. Under lasting overload the queue
would stay full and every request would wait for its whole length. So once more than a tenth of the
latest requests were refused, only as many are accepted as keep the threads busy.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from emo_runtime import OverloadedError
from emo_serving.errors import UnavailableError

# Overload: this share of the latest requests (about 1 / _WEIGHT of them) was refused.
_OVERLOAD = 0.1
_WEIGHT = 0.02
# A server that gets no requests any more, because it reported overload, is ready again after this.
_OVERLOAD_LASTS_S = 5.0
# The share of the buffered bytes that one client may use.
_CLIENT_SHARE = 0.25
# WebSockets that have not sent their token yet, in all and of one address.
_MAX_UNAUTHENTICATED = 64
_MAX_UNAUTHENTICATED_OF_CLIENT = 16


@dataclass(frozen=True)
class Client:
    """A named token or an address that sends requests, with its limits (None: no limit).

    ``owner`` is the token's name, or empty: live calls are visible to their owner only.
    ``is_authenticated`` is False for a WebSocket whose token comes with its start message.
    """

    name: str
    owner: str = ""
    max_calls: int | None = None
    max_streams: int | None = None
    is_authenticated: bool = True


ANYONE = Client("")


class Admission:
    """Counts of everything in progress. Used by one event loop only, so it needs no lock."""

    def __init__(
        self,
        workers: int,
        max_waiting: int,
        max_streams: int,
        max_buffered_bytes: int = 256 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_calls = workers + max_waiting
        self.max_streams = max_streams
        self.max_buffered_bytes = max_buffered_bytes
        self.calls = 0
        self.streams = 0
        self.buffered_bytes = 0
        self.refused: Counter[str] = Counter()
        self.draining = False
        self.closing = False
        self._calls_of: Counter[str] = Counter()
        self._streams_of: Counter[str] = Counter()
        self._unauthenticated_of: Counter[str] = Counter()
        self._buffered_of: Counter[str] = Counter()
        # One request in each thread, and the next one for it: no thread is ever idle.
        self._enough_calls = 2 * workers
        self._refused_share = 0.0
        self._refused_at = float("-inf")
        self._clock = clock

    @property
    def idle(self) -> bool:
        """True if nothing is in progress."""
        return not self.calls and not self.streams

    @property
    def overloaded(self) -> bool:
        """True if more than a tenth of the latest requests were refused, the last one just now."""
        recent = self._clock() - self._refused_at < _OVERLOAD_LASTS_S
        return recent and self._refused_share > _OVERLOAD

    def check(self, client: Client = ANYONE) -> None:
        """Raise OverloadedError if a request would be refused now: its body need not be read."""
        if self.calls >= self.max_calls or self._is_queue_long():
            raise self._refuse_call()
        if client.max_calls is not None and self._calls_of[client.name] >= client.max_calls:
            raise self._refuse_client(f"{client.max_calls} requests")

    @contextlib.contextmanager
    def call(self, client: Client = ANYONE) -> Iterator[None]:
        """Count one request, from the end of its body to its answer. Raises OverloadedError."""
        self.check(client)
        self._refused_share *= 1 - _WEIGHT
        self.calls += 1
        with _counted(self._calls_of, client.name):
            try:
                yield
            finally:
                self.calls -= 1

    @contextlib.contextmanager
    def stream(self, client: Client = ANYONE) -> Iterator[None]:
        """Count one live call. Raises OverloadedError, or UnavailableError while draining."""
        if self.draining:
            raise _stopping()
        if self.streams >= self.max_streams:
            self.refused["streams"] += 1
            raise OverloadedError(
                f"{self.streams} live calls are in progress, which is the limit: try again later."
            )
        if client.max_streams is not None and self._streams_of[client.name] >= client.max_streams:
            raise self._refuse_client(f"{client.max_streams} live calls")
        self.streams += 1
        with _counted(self._streams_of, client.name):
            try:
                yield
            finally:
                self.streams -= 1

    @contextlib.contextmanager
    def unauthenticated(self, client: Client) -> Iterator[None]:
        """Count a WebSocket that has not sent its token yet. Raises OverloadedError."""
        if self.draining:
            raise _stopping()
        of_client = self._unauthenticated_of[client.name]
        if (
            self._unauthenticated_of.total() >= _MAX_UNAUTHENTICATED
            or of_client >= _MAX_UNAUTHENTICATED_OF_CLIENT
        ):
            self.refused["unauthenticated"] += 1
            raise OverloadedError("too many connections wait for their token: try again later.")
        with _counted(self._unauthenticated_of, client.name):
            yield

    @contextlib.contextmanager
    def buffer(self, client: Client = ANYONE) -> Iterator[Callable[[int], None]]:
        """Reserve memory for a body: the value is called with each further number of bytes.

        It raises OverloadedError beyond the limit, or beyond a quarter of it for one client.
        """
        reserved = 0

        def reserve(size: int) -> None:
            nonlocal reserved
            of_client = self._buffered_of[client.name] + size
            if self.buffered_bytes + size > self.max_buffered_bytes:
                self.refused["memory"] += 1
                raise OverloadedError("too many large bodies are being received: try again later.")
            if of_client > _CLIENT_SHARE * self.max_buffered_bytes:
                raise self._refuse_client("a quarter of the memory for bodies")
            self.buffered_bytes += size
            self._buffered_of[client.name] = of_client
            reserved += size

        try:
            yield reserve
        finally:
            self.buffered_bytes -= reserved
            self._buffered_of[client.name] -= reserved
            if not self._buffered_of[client.name]:
                del self._buffered_of[client.name]

    def _is_queue_long(self) -> bool:
        return self._refused_share > _OVERLOAD and self.calls >= self._enough_calls

    def _refuse_call(self) -> OverloadedError:
        self._refused_share += _WEIGHT * (1 - self._refused_share)
        self._refused_at = self._clock()
        self.refused["calls"] += 1
        return OverloadedError(
            f"{self.calls} requests are in progress, and no more would be answered in time: try "
            "again later."
        )

    def _refuse_client(self, limit: str) -> OverloadedError:
        self.refused["client"] += 1
        return OverloadedError(f"this client uses {limit}, which is its limit: try again later.")


def _stopping() -> UnavailableError:
    return UnavailableError("the server is stopping: connect to another one, or later.")


@contextlib.contextmanager
def _counted(counter: Counter[str], name: str) -> Iterator[None]:
    counter[name] += 1
    try:
        yield
    finally:
        counter[name] -= 1
        if not counter[name]:  # or every address ever seen would stay
            del counter[name]
