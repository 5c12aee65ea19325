"""Live calls by their id, for their events and for transcripts from elsewhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Protocol

from emo_serving.errors import NotFoundError

# Events that wait for a subscriber; a slower one loses the oldest.
_MAX_EVENTS = 256
# Ended calls whose last events are still available, so that a late subscriber gets the answer.
_MAX_ENDED = 1024
_KEPT_EVENTS = 16

Event = dict[str, Any]


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
    """

    ended: bool
    begun: float

    def events(self, timeout_s: float) -> AsyncIterator[Event | None]:
        """Yield the kept events, then those to come until the call's end.

        None is yielded if there was no event for ``timeout_s``.
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
    """The events of one call: final answers and errors are kept, and all are passed on."""

    def __init__(self, call_id: str, owner: str, target: TranscriptTarget | None = None) -> None:
        self.call_id = call_id
        self.owner = owner
        self.target = target
        self.ended = False
        self.begun = time.monotonic()
        self._kept: list[Event] = []
        self._subscribers: set[asyncio.Queue[Event | None]] = set()

    def publish(self, event: Event) -> None:
        """Pass an event on to all subscribers."""
        if event.get("final") or event["event"] == "error":
            self._kept = [*self._kept[1 - _KEPT_EVENTS :], event]
        for queue in self._subscribers:
            _put(queue, event)

    def end(self) -> None:
        """Notify all subscribers that there are no further events."""
        self.ended = True
        self.target = None
        for queue in self._subscribers:
            _put(queue, None)

    async def set_transcript(self, text: str) -> None:
        """Set the transcript of the running utterance. Raises EmoError."""
        if self.target is None:
            raise NotFoundError("this call has ended.")
        await self.target.set_transcript(text)

    async def events(self, timeout_s: float) -> AsyncIterator[Event | None]:
        """Yield the kept events, then those to come until the call's end.

        None is yielded if there was no event for ``timeout_s``.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_MAX_EVENTS)
        for event in self._kept:
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


def _put(queue: asyncio.Queue[Event | None], event: Event | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(event)
