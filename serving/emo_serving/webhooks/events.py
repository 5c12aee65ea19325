"""The events of live calls as messages for webhooks."""

import datetime
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from emo_serving.errors import RequestError
from emo_serving.settings import WEBHOOK_SECRET_VARIABLE, Settings
from emo_serving.webhooks.delivery import Deliveries, Message
from emo_serving.webhooks.metrics import WebhookMetrics
from emo_serving.webhooks.signature import WebhookError
from emo_serving.webhooks.urls import check_call_url, check_origin, check_url

# Time that events have at shutdown.
_DRAIN_S = 5.0


class CallWebhook:
    """Sends the events of one call, numbered from 1."""

    def __init__(self, deliveries: Deliveries, url: str, call_id: str, *, partial: bool) -> None:
        self._deliveries = deliveries
        self._url = url
        self.call_id = call_id
        self._partial = partial
        self._sequence = 0

    def publish(self, event: dict[str, Any]) -> None:
        """Send an event; partial answers only if they are wanted."""
        if event["event"] == "emotion" and not event["final"] and not self._partial:
            return
        self._sequence += 1
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        body = {
            "type": f"call.{event['event']}",
            "timestamp": now,
            "data": {"call": self.call_id, "sequence": self._sequence, **event},
        }
        self._deliveries.send(Message(self._url, msgspec.json.encode(body)))


class Webhooks:
    """The webhooks of a server, if it has any. Raises WebhookError for wrong settings."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._origins = frozenset(map(check_origin, settings.webhook_origins))
        if settings.webhook is not None:
            check_url(settings.webhook)
        if (settings.webhook or self._origins) and settings.webhook_secret is None:
            raise WebhookError(
                "a webhook needs a secret that signs its events: give --webhook-secret-file or set "
                f"{WEBHOOK_SECRET_VARIABLE}."
            )
        self._deliveries: Deliveries | None = None
        if settings.webhook_secret is not None:
            self._deliveries = Deliveries(
                settings.webhook_secret,
                settings.max_webhook_queue,
                settings.webhook_timeout_s,
                WebhookMetrics(registry),
            )

    def open(self, url: str | None, call_id: str) -> CallWebhook | None:
        """Return the webhook of a call: the one that it names, else the server's.

        Raises:
            RequestError: The call names a URL that is not allowed.
        """
        if url is not None:
            try:
                url = check_call_url(url, self._origins)
            except WebhookError as error:
                raise RequestError(str(error)) from None
        chosen = url or self._settings.webhook
        if chosen is None or self._deliveries is None:
            return None
        partial = self._settings.webhook_partial
        return CallWebhook(self._deliveries, chosen, call_id, partial=partial)

    async def close(self) -> None:
        """Deliver what is waiting, within a few seconds."""
        if self._deliveries is not None:
            await self._deliveries.close(_DRAIN_S)
