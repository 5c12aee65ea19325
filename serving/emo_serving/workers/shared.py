"""Counts in memory that the supervisor and its workers share, one slot for each worker.

A worker writes its own slot only, so the supervisor can clear what a dead worker had counted. A
limit is checked and counted under a lock on a file, which the system releases if its owner dies.
"""

import contextlib
import fcntl
import hashlib
import mmap
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emo_serving.counts import KINDS, LIMITS, Kind, Limit

_WORD = 8
# Clients are found by a hash in a bucket of this many entries. With a quarter of them in use, a
# bucket is full in about one of a million cases; a client without an entry is not limited.
_WAYS = 16
_SPARE = 4
# The first words: losses, the two numbers of ``refusals``, failed restarts.
_LOST, _FAILED_RESTARTS, _HEAD = 0, 3, 4
_ACCEPTING, _BEAT, _FIRST_COUNT = 0, 1, 2
_KIND = {kind: _FIRST_COUNT + index for index, kind in enumerate(KINDS)}
_LIMIT = {limit: _FIRST_COUNT + len(KINDS) + index for index, limit in enumerate(LIMITS)}
_ROW = _FIRST_COUNT + len(KINDS) + len(LIMITS)


@dataclass(frozen=True)
class _Layout:
    """Positions in the memory, in words of 8 bytes."""

    slots: int
    entries: int

    @property
    def keys(self) -> int:
        return _HEAD + self.slots * _ROW

    @property
    def clients(self) -> int:
        return self.keys + self.entries

    @property
    def size(self) -> int:
        return self.clients + self.slots * self.entries


class SharedMemory:
    """The memory, created before the workers are forked.

    Args:
        workers: Number of workers. There are twice as many slots: a worker that is replaced may
            still have live calls while its successor runs.
        clients: Largest number of clients with something in progress.
    """

    def __init__(self, workers: int, clients: int) -> None:
        self.workers = workers
        self.slots = 2 * workers
        buckets = 1 << (_SPARE * clients // _WAYS).bit_length()
        self.layout = _Layout(self.slots, buckets * _WAYS)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with this object)
        self._file.truncate(self.layout.size * _WORD)
        self._map = mmap.mmap(self._file.fileno(), self.layout.size * _WORD)
        self.words: Any = memoryview(self._map).cast("q")
        self.refusals: Any = memoryview(self._map)[_WORD : 3 * _WORD].cast("d")
        self.refusals[1] = float("-inf")
        self.hash_key = secrets.token_bytes(16)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude the other processes."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def row(self, slot: int) -> int:
        """Return where a slot begins."""
        return _HEAD + slot * _ROW

    def accepting(self) -> list[int]:
        """Return the slots of the workers that accept connections."""
        return [slot for slot in range(self.slots) if self.words[self.row(slot) + _ACCEPTING]]

    def beat(self, slot: int) -> int:
        """Return a number that changes while the event loop of the worker runs."""
        beat: int = self.words[self.row(slot) + _BEAT]
        return beat

    def clear(self, slot: int) -> None:
        """Forget what the worker of a slot had in progress; its refusals remain counted."""
        with self.locked():
            row, layout = self.row(slot), self.layout
            for index in (_ACCEPTING, *_KIND.values()):
                self.words[row + index] = 0
            first = layout.clients + slot * layout.entries
            for index in range(first, first + layout.entries):
                self.words[index] = 0

    def count_lost(self) -> None:
        """Count a worker that ended unexpectedly."""
        self.words[_LOST] += 1

    def count_failed_restart(self) -> None:
        """Count a restart that failed, so that the workers stayed as they were."""
        self.words[_FAILED_RESTARTS] += 1

    def close(self) -> None:
        """Release the memory."""
        self.words.release()
        self.refusals.release()
        self._map.close()
        self._file.close()


class SharedCounts:
    """The counts as one worker uses them; see ``emo_serving.counts.Counts``."""

    def __init__(self, memory: SharedMemory, slot: int) -> None:
        self.processes = memory.workers
        self.refusals = memory.refusals
        self._memory = memory
        self._words = memory.words
        self._row = memory.row(slot)
        self._rows = [memory.row(each) for each in range(memory.slots)]
        layout = memory.layout
        self._buckets = layout.entries // _WAYS
        self._keys = layout.keys
        self._own_clients = layout.clients + slot * layout.entries
        self._clients = [layout.clients + n * layout.entries for n in range(memory.slots)]

    def locked(self) -> contextlib.AbstractContextManager[object]:
        """Return a block in which no other process changes the counts."""
        return self._memory.locked()

    def own(self, kind: Kind) -> int:
        """Return the count of this process."""
        count: int = self._words[self._row + _KIND[kind]]
        return count

    def total(self, kind: Kind) -> int:
        """Return the count of all processes."""
        return sum(self._words[row + _KIND[kind]] for row in self._rows)

    def of_client(self, kind: Kind, client: str) -> int:
        """Return the count of a client in all processes."""
        entry = self._find(*self._key(kind, client))
        return 0 if entry is None else self._sum(entry)

    def add(self, kind: Kind, client: str, amount: int) -> None:
        """Add to the counts of this process and of the client."""
        self._words[self._row + _KIND[kind]] += amount
        key, bucket = self._key(kind, client)
        entry = self._find(key, bucket)
        if entry is None and amount > 0:
            entry = self._free(bucket)
            if entry is not None:
                self._words[self._keys + entry] = key
        if entry is not None:
            self._words[self._own_clients + entry] += amount

    def refuse(self, limit: Limit) -> None:
        """Count a refusal."""
        self._words[self._row + _LIMIT[limit]] += 1

    def refused(self) -> Mapping[Limit, int]:
        """Return the refusals of all processes so far."""
        return {
            limit: sum(self._words[row + index] for row in self._rows)
            for limit, index in _LIMIT.items()
        }

    def running(self) -> int:
        """Return the number of workers that accept connections."""
        return len(self._memory.accepting())

    def lost(self) -> int:
        """Return the number of workers that ended unexpectedly so far."""
        lost: int = self._words[_LOST]
        return lost

    def failed_restarts(self) -> int:
        """Return the number of restarts that failed so far."""
        failed: int = self._words[_FAILED_RESTARTS]
        return failed

    def beat(self) -> None:
        """Show that the event loop runs."""
        self._words[self._row + _BEAT] += 1

    def set_accepting(self, accepting: bool) -> None:
        """Record whether this worker accepts connections."""
        self._words[self._row + _ACCEPTING] = int(accepting)

    def loads(self, weights: Mapping[Kind, int]) -> tuple[int, int]:
        """Return the weighted load of this worker, and the lowest one of those that accept."""

        def load(row: int) -> int:
            return sum(self._words[row + _KIND[kind]] * each for kind, each in weights.items())

        rows = [row for row in self._rows if self._words[row + _ACCEPTING]]
        return load(self._row), min(map(load, rows), default=0)

    def _key(self, kind: Kind, client: str) -> tuple[int, int]:
        """Return the key of a client's count, never 0, and the first entry of its bucket."""
        text = f"{kind} {client}".encode()
        digest = hashlib.blake2b(text, digest_size=8, key=self._memory.hash_key).digest()
        key = int.from_bytes(digest, "little", signed=True) | 1
        return key, (key >> 1) % self._buckets * _WAYS

    def _find(self, key: int, bucket: int) -> int | None:
        """Return the entry of a key; it may be one that was not used for a while."""
        first = self._keys + bucket
        for index in range(_WAYS):
            if self._words[first + index] == key:
                return bucket + index
        return None

    def _free(self, bucket: int) -> int | None:
        """Return an entry that no process counts in."""
        return next((each for each in range(bucket, bucket + _WAYS) if not self._sum(each)), None)

    def _sum(self, entry: int) -> int:
        return sum(self._words[first + entry] for first in self._clients)
