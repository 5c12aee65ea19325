"""Counts of what is in progress: those of this process, and those of all worker processes."""

import contextlib
from collections import Counter
from collections.abc import Mapping, MutableSequence
from typing import Literal, Protocol, get_args

Kind = Literal["calls", "streams", "buffered_bytes", "connections", "unauthenticated"]
Limit = Literal["calls", "streams", "client", "memory", "connections", "unauthenticated"]

KINDS: tuple[Kind, ...] = get_args(Kind)
LIMITS: tuple[Limit, ...] = get_args(Limit)


class Counts(Protocol):
    """Counts of this process and of the whole server. Used by one thread of a process.

    Attributes:
        processes: Number of processes that share the totals.
        refusals: Share of the latest requests that were refused, and when the last one was.
    """

    processes: int
    refusals: MutableSequence[float]

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Return a block in which no other process changes the counts."""
        ...

    def own(self, kind: Kind) -> int:
        """Return the count of this process."""
        ...

    def total(self, kind: Kind) -> int:
        """Return the count of all processes."""
        ...

    def of_client(self, kind: Kind, client: str) -> int:
        """Return the count of a client in all processes."""
        ...

    def add(self, kind: Kind, client: str, amount: int) -> None:
        """Add to the counts of this process and of the client."""
        ...

    def refuse(self, limit: Limit) -> None:
        """Count a refusal."""
        ...

    def refused(self) -> Mapping[Limit, int]:
        """Return the refusals of all processes so far."""
        ...

    def running(self) -> int:
        """Return the number of processes that accept connections."""
        ...

    def lost(self) -> int:
        """Return the number of processes that ended unexpectedly so far."""
        ...

    def failed_restarts(self) -> int:
        """Return the number of restarts of all workers that failed so far."""
        ...


class LocalCounts:
    """Counts of a server with one process."""

    processes = 1

    def __init__(self) -> None:
        self.refusals: MutableSequence[float] = [0.0, float("-inf")]
        self._totals: Counter[Kind] = Counter()
        self._clients: Counter[tuple[Kind, str]] = Counter()
        self._refused: dict[Limit, int] = dict.fromkeys(LIMITS, 0)

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Return a block without effect."""
        return contextlib.nullcontext()

    def own(self, kind: Kind) -> int:
        """Return the count."""
        return self._totals[kind]

    total = own

    def of_client(self, kind: Kind, client: str) -> int:
        """Return the count of a client."""
        return self._clients[kind, client]

    def add(self, kind: Kind, client: str, amount: int) -> None:
        """Add to the counts."""
        self._totals[kind] += amount
        key = kind, client
        self._clients[key] += amount
        if not self._clients[key]:  # or every address ever seen would stay
            del self._clients[key]

    def refuse(self, limit: Limit) -> None:
        """Count a refusal."""
        self._refused[limit] += 1

    def refused(self) -> Mapping[Limit, int]:
        """Return the refusals so far."""
        return self._refused

    def running(self) -> int:
        """Return 1."""
        return 1

    def lost(self) -> int:
        """Return 0."""
        return 0

    def failed_restarts(self) -> int:
        """Return 0."""
        return 0
