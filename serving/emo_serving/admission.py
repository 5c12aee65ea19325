"""Admission control: limits on requests, live calls and buffered bodies; a short queue on overload.

A burst may fill the queue, and every request of it is answered. Under lasting overload the queue
would stay full and every request would wait for its whole length. So once more than a tenth of the
latest requests were refused, only as many are accepted as keep the threads busy.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from emo_runtime import OverloadedError
from emo_serving.counts import Counts, Kind, Limit, LocalCounts
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
    ``may_control``: it may load and unload bundles. ``is_authenticated`` is False for a WebSocket
    whose token comes with its start message.
    """

    name: str
    owner: str = ""
    max_calls: int | None = None
    max_streams: int | None = None
    is_authenticated: bool = True
    may_control: bool = False


ANYONE = Client("")


class Admission:
    """Limits on everything in progress. Used by one event loop only.

    Requests wait in the queue of their process, so ``max_waiting`` is a limit of one process. Live
    calls, buffered bodies and the limits of a client are totals of all processes.

    Attributes:
        stopping: The server stops.
        leaving: This process accepts no more connections; responses close theirs.
        draining: New live calls are refused, and those without an utterance are closed.
        closing: All live calls get their final answer, and are closed.
    """

    def __init__(
        self,
        workers: int,
        max_waiting: int,
        max_streams: int,
        max_buffered_bytes: int = 256 << 20,
        *,
        clock: Callable[[], float] = time.monotonic,
        counts: Counts | None = None,
    ) -> None:
        self.counts = counts or LocalCounts()
        self.max_calls = (workers + max_waiting) * self.counts.processes
        self.max_streams = max_streams
        self.max_buffered_bytes = max_buffered_bytes
        self.stopping = False
        self.leaving = False
        self.draining = False
        self.closing = False
        self._max_own_calls = workers + max_waiting
        # One request in each thread, and the next one for it: no thread is ever idle.
        self._enough_calls = 2 * workers
        self._clock = clock

    @property
    def calls(self) -> int:
        """Requests in progress."""
        return self.counts.total("calls")

    @property
    def streams(self) -> int:
        """Live calls in progress."""
        return self.counts.total("streams")

    @property
    def buffered_bytes(self) -> int:
        """Memory of the bodies in progress."""
        return self.counts.total("buffered_bytes")

    @property
    def refused(self) -> Mapping[Limit, int]:
        """Refusals by limit."""
        return self.counts.refused()

    @property
    def idle(self) -> bool:
        """True if nothing is in progress in this process."""
        return not self.counts.own("calls") and not self.counts.own("streams")

    @property
    def overloaded(self) -> bool:
        """True if more than a tenth of the latest requests were refused, the last one just now."""
        share, refused_at = self.counts.refusals
        return self._clock() - refused_at < _OVERLOAD_LASTS_S and share > _OVERLOAD

    def check(self, client: Client = ANYONE) -> None:
        """Raise OverloadedError if a request would be refused now: its body need not be read."""
        calls = self.counts.own("calls")
        long = self.counts.refusals[0] > _OVERLOAD and calls >= self._enough_calls
        if calls >= self._max_own_calls or long:
            raise self._refuse_call(calls)
        if self._is_at_limit("calls", client.name, client.max_calls):
            raise self._refuse_client(f"{client.max_calls} requests")

    @contextlib.contextmanager
    def call(self, client: Client = ANYONE) -> Iterator[None]:
        """Count one request, from the end of its body to its answer. Raises OverloadedError."""
        with self.counts.locked():
            self.check(client)
            self.counts.refusals[0] *= 1 - _WEIGHT
            self.counts.add("calls", client.name, 1)
        try:
            yield
        finally:
            self._subtract("calls", client, 1)

    @contextlib.contextmanager
    def stream(self, client: Client = ANYONE) -> Iterator[None]:
        """Count one live call. Raises OverloadedError, or UnavailableError while draining."""
        if self.draining:
            raise _stopping()
        with self.counts.locked():
            self._check_stream(client)
            self.counts.add("streams", client.name, 1)
        try:
            yield
        finally:
            self._subtract("streams", client, 1)

    @contextlib.contextmanager
    def unauthenticated(self, client: Client) -> Iterator[None]:
        """Count a WebSocket that has not sent its token yet. Raises OverloadedError."""
        if self.draining:
            raise _stopping()
        with self.counts.locked():
            if self.counts.total("unauthenticated") >= _MAX_UNAUTHENTICATED or self._is_at_limit(
                "unauthenticated", client.name, _MAX_UNAUTHENTICATED_OF_CLIENT
            ):
                self.counts.refuse("unauthenticated")
                raise OverloadedError("too many connections wait for their token: try again later.")
            self.counts.add("unauthenticated", client.name, 1)
        try:
            yield
        finally:
            self._subtract("unauthenticated", client, 1)

    @contextlib.contextmanager
    def buffer(self, client: Client = ANYONE) -> Iterator[Callable[[int], None]]:
        """Reserve memory for a body: the value is called with each further number of bytes.

        It raises OverloadedError beyond the limit, or beyond a quarter of it for one client.
        """
        reserved = 0

        def reserve(size: int) -> None:
            nonlocal reserved
            with self.counts.locked():
                self._check_buffer(client, size)
                self.counts.add("buffered_bytes", client.name, size)
            reserved += size

        try:
            yield reserve
        finally:
            if reserved:
                self._subtract("buffered_bytes", client, reserved)

    def _is_at_limit(self, kind: Kind, client: str, limit: int | None) -> bool:
        return limit is not None and self.counts.of_client(kind, client) >= limit

    def _subtract(self, kind: Kind, client: Client, amount: int) -> None:
        with self.counts.locked():
            self.counts.add(kind, client.name, -amount)

    def _check_stream(self, client: Client) -> None:
        streams = self.streams
        if streams >= self.max_streams:
            self.counts.refuse("streams")
            raise OverloadedError(
                f"{streams} live calls are in progress, which is the limit: try again later."
            )
        if self._is_at_limit("streams", client.name, client.max_streams):
            raise self._refuse_client(f"{client.max_streams} live calls")

    def _check_buffer(self, client: Client, size: int) -> None:
        if self.buffered_bytes + size > self.max_buffered_bytes:
            self.counts.refuse("memory")
            raise OverloadedError("too many large bodies are being received: try again later.")
        of_client = self.counts.of_client("buffered_bytes", client.name) + size
        if of_client > _CLIENT_SHARE * self.max_buffered_bytes:
            raise self._refuse_client("a quarter of the memory for bodies")

    def _refuse_call(self, calls: int) -> OverloadedError:
        refusals = self.counts.refusals
        refusals[0] += _WEIGHT * (1 - refusals[0])
        refusals[1] = self._clock()
        self.counts.refuse("calls")
        return OverloadedError(
            f"{calls} requests are in progress, and no more would be answered in time: try "
            "again later."
        )

    def _refuse_client(self, limit: str) -> OverloadedError:
        self.counts.refuse("client")
        return OverloadedError(f"this client uses {limit}, which is its limit: try again later.")


def _stopping() -> UnavailableError:
    return UnavailableError("the server is stopping: connect to another one, or later.")
