"""Deliver messages to webhooks: bounded, with retries, without redirects."""

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import httpx2

from emo_serving.webhooks.metrics import WebhookMetrics
from emo_serving.webhooks.signature import sign
from emo_serving.webhooks.urls import origin_of

logger = logging.getLogger("emo_serving")

# Waiting times are random, up to a limit that doubles: about a minute in all at most.
_ATTEMPTS = 8
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0
# Requests at once to one host.
_PER_HOST = 8
# Statuses of temporary failures besides 5xx; redirects and other statuses are final.
_TEMPORARY = {408, 425, 429}
_MAX_RESPONSE_BYTES = 64 << 10
_LOG_EVERY_S = 10.0


@dataclass(frozen=True)
class Message:
    """A message for one URL."""

    url: str
    body: bytes


class Deliveries:
    """Delivers messages in background tasks of one event loop.

    Args:
        secret: Key of the signatures.
        max_queue: Messages that wait for one host, or for another attempt; further ones are
            dropped.
        timeout_s: Time for a response.
        wait: Called with the largest waiting time before an attempt; returns the time to wait.
    """

    def __init__(
        self,
        secret: str,
        max_queue: int,
        timeout_s: float,
        metrics: WebhookMetrics,
        wait: Callable[[float], float] = lambda longest: random.uniform(0, longest),  # noqa: S311
    ) -> None:
        self._secret = secret
        self._max_queue = max_queue
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._wait = wait
        self._client: httpx2.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Counter[str] = Counter()
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._logged: dict[str, tuple[float, int]] = {}
        metrics.queue.set_function(lambda: len(self._tasks))

    def send(self, message: Message) -> None:
        """Begin to deliver a message; drop it if too many wait for its host."""
        host = origin_of(message.url)
        if self._waiting[host] >= self._max_queue:
            self._failed(host, "dropped", "the queue is full")
            return
        self._waiting[host] += 1
        task = asyncio.get_running_loop().create_task(self._deliver(message, host))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, timeout_s: float) -> None:
        """Wait until everything is delivered, for ``timeout_s`` at most; drop the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, message: Message, host: str) -> None:
        message_id = f"msg_{secrets.token_hex(16)}"
        try:
            for attempt in range(_ATTEMPTS):
                failure, retry_after = await self._attempt(message, host, message_id)
                if failure is None:
                    self._metrics.deliveries.labels("delivered").inc()
                    return
                if retry_after is None or attempt == _ATTEMPTS - 1:
                    self._failed(host, "failed", failure)
                    return
                self._metrics.retries.inc()
                longest = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S)
                await asyncio.sleep(max(retry_after, self._wait(longest)))
        except asyncio.CancelledError:
            self._failed(host, "dropped", "the server is stopping")
            raise
        finally:
            self._waiting[host] -= 1

    async def _attempt(
        self, message: Message, host: str, message_id: str
    ) -> tuple[str | None, float | None]:
        """Send a request.

        Returns:
            Why it failed, or None; and the time to wait before another attempt, None if another
            one would not help.
        """
        async with self._slots.setdefault(host, asyncio.Semaphore(_PER_HOST)):
            headers = {
                "content-type": "application/json",
                **sign(self._secret, message_id, int(time.time()), message.body),
            }
            try:
                async with (
                    asyncio.timeout(self._timeout_s),
                    self._opened().stream(
                        "POST", message.url, content=message.body, headers=headers
                    ) as response,
                ):
                    status = response.status_code
                    retry_after = response.headers.get("retry-after", "")
                    await _discard_body(response)
            except TimeoutError:
                return "no response in time", 0.0
            except (httpx2.HTTPError, OSError) as error:
                return type(error).__name__, 0.0
            except httpx2.InvalidURL:
                return "InvalidURL", None
        if 200 <= status < 300:
            return None, None
        if status >= 500 or status in _TEMPORARY:
            return f"status {status}", _seconds(retry_after)
        return f"status {status}", None

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = httpx2.AsyncClient(
                timeout=self._timeout_s, follow_redirects=False, headers={"user-agent": "emo-serve"}
            )
        return self._client

    def _failed(self, host: str, result: str, reason: str) -> None:
        """Count a lost message; log at most one line for a host in ten seconds."""
        self._metrics.deliveries.labels(result).inc()
        now = time.monotonic()
        since, lost = self._logged.get(host, (-_LOG_EVERY_S, 0))
        if now - since < _LOG_EVERY_S:
            self._logged[host] = (since, lost + 1)
            return
        self._logged[host] = (now, 0)
        more = f" ({lost} more since the last line)" if lost else ""
        logger.warning("webhook %s: event %s: %s%s", host, result, reason, more)


async def _discard_body(response: httpx2.Response) -> None:
    """Read a short body, so that the connection can be used again; a longer one is cut off."""
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > _MAX_RESPONSE_BYTES:
            return


def _seconds(retry_after: str) -> float:
    """Return the seconds of a Retry-After header; dates and long times are not followed."""
    with contextlib.suppress(ValueError):
        return min(max(0.0, float(int(retry_after))), _LONGEST_WAIT_S)
    return 0.0
