"""Live calls by their id, for their events and for transcripts from elsewhere."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from emo_serving.errors import NotFoundError

# Events that wait for a subscriber; a slower one loses the oldest.
_MAX_EVENTS = 256
# Ended calls whose last events are still available, so that a late subscriber gets the answer.
_MAX_ENDED = 1024
_KEPT_EVENTS = 16
# The latest events of a running call, partial answers too, for subscribers who connect again.
_RECENT_EVENTS = 64

Event = dict[str, Any]


class NumberedEvent(msgspec.Struct, frozen=True):
    """An event and its id: ``RUN-NUMBER``, where RUN differs for a later call with the same id."""

    id: str
    content: Event


class TranscriptTarget(Protocol):
    """Receiver of the transcript of a call."""

    async def set_transcript(self, text: str) -> None:
        """Take the transcript so far."""
        ...


class Call(Protocol):
    """A call of this process or of another worker.

    Attributes:
        ended: True if the call has ended; its latest events can still be read.
        begun: When it began (``time.monotonic``).
        last_id: Id of its latest event; empty before the first.
    """

    ended: bool
    begun: float
    last_id: str

    def events(self, timeout_s: float, after: str) -> AsyncIterator[NumberedEvent | None]:
        """Yield the kept events, then those to come until the call's end.

        Args:
            timeout_s: None is yielded if there was no event for this time.
            after: Id of the last event that the subscriber has received. Then those after it are
                yielded, as far as they are kept, partial answers too. Another call's id is ignored.
        """
        ...

    async def set_transcript(self, text: str) -> None:
        """Set the transcript of the running utterance. Raises EmoError."""
        ...


class Peers(Protocol):
    """The other workers of this server."""

    async def find(self, call_id: str, owner: str) -> list[Call]:
        """Return the calls with this id and owner."""
        ...


class CallChannel:
    """The events of one call: final answers and errors are kept, and all are passed on.

    Of a running call, the latest ones are kept too; of one that has ended, the very last.
    """

    def __init__(self, call_id: str, owner: str, target: TranscriptTarget | None = None) -> None:
        self.call_id = call_id
        self.owner = owner
        self.target = target
        self.ended = False
        self.begun = time.monotonic()
        self.last_id = ""
        self._run = secrets.token_hex(4)
        self._count = 0
        self._kept: deque[NumberedEvent] = deque(maxlen=_KEPT_EVENTS)
        self._recent: deque[NumberedEvent] = deque(maxlen=_RECENT_EVENTS)
        self._subscribers: set[asyncio.Queue[NumberedEvent | None]] = set()

    def publish(self, event: Event) -> None:
        """Pass an event on to all subscribers."""
        self._count += 1
        self.last_id = f"{self._run}-{self._count}"
        numbered = NumberedEvent(self.last_id, event)
        self._recent.append(numbered)
        if event.get("final") or event["event"] == "error":
            self._kept.append(numbered)
        for queue in self._subscribers:
            _put(queue, numbered)

    def end(self) -> None:
        """Notify all subscribers that there are no further events."""
        self.ended = True
        self.target = None
        if self._recent and self._recent[-1] not in self._kept:
            # A partial answer: a subscriber who missed it would connect again without end.
            self._kept.append(self._recent[-1])
        self._recent.clear()
        for queue in self._subscribers:
            _put(queue, None)

    async def set_transcript(self, text: str) -> None:
        """Set the transcript of the running utterance. Raises EmoError."""
        if self.target is None:
            raise NotFoundError("this call has ended.")
        await self.target.set_transcript(text)

    async def events(
        self, timeout_s: float, after: str = ""
    ) -> AsyncIterator[NumberedEvent | None]:
        """Yield the kept events, then those to come until the call's end."""
        queue: asyncio.Queue[NumberedEvent | None] = asyncio.Queue(_MAX_EVENTS)
        for event in self._replay(after):
            queue.put_nowait(event)
        if self.ended:
            queue.put_nowait(None)
        self._subscribers.add(queue)
        try:
            while True:
                try:
                    async with asyncio.timeout(timeout_s):
                        event_or_end = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if event_or_end is None:
                    return
                yield event_or_end
        finally:
            self._subscribers.discard(queue)

    def _replay(self, after: str) -> list[NumberedEvent]:
        """Return the kept events; those after an event of this call, if there is one."""
        run, _, number = after.rpartition("-")
        if run != self._run or not (number.isascii() and number.isdecimal()):
            return list(self._kept)
        kept = {_number(event): event for event in (*self._kept, *self._recent)}
        return [kept[found] for found in sorted(kept) if found > int(number[:18])]


class CallRegistry:
    """The calls of this process, and access to those of its ``peers``."""

    def __init__(self, peers: Peers | None = None) -> None:
        self._peers = peers
        self._channels: dict[tuple[str, str], CallChannel] = {}

    def add(self, channel: CallChannel) -> None:
        """Register a call. It replaces an earlier one with the same id and owner."""
        key = (channel.owner, channel.call_id)
        earlier = self._channels.pop(key, None)
        if earlier is not None:
            earlier.end()
        self._forget_old()
        self._channels[key] = channel

    def get(self, call_id: str, owner: str) -> CallChannel | None:
        """Return a call of this process."""
        return self._channels.get((owner, call_id))

    async def find(self, call_id: str, owner: str) -> Call:
        """Return a call: a running one rather than one that has ended, then the latest.

        Raises:
            NotFoundError: No worker has such a call of this owner.
        """
        own = self.get(call_id, owner)
        found: list[Call] = [] if own is None else [own]
        if self._peers is not None and (own is None or own.ended):
            found += await self._peers.find(call_id, owner)
        if not found:
            raise NotFoundError("there is no such call here.")
        return max(found, key=lambda call: (not call.ended, call.begun))

    def _forget_old(self) -> None:
        ended = [key for key, channel in self._channels.items() if channel.ended]
        for key in ended[: max(0, len(ended) - _MAX_ENDED)]:
            del self._channels[key]


def _number(event: NumberedEvent) -> int:
    return int(event.id.rpartition("-")[2])


def _put(queue: asyncio.Queue[NumberedEvent | None], event: NumberedEvent | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
