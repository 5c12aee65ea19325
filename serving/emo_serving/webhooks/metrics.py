"""Prometheus metrics of webhooks."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WebhookMetrics:
    """Counters of deliveries and retries, and the length of the queue."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter(
            "emo_webhook_deliveries_total",
            "Events for webhooks: delivered, failed after all attempts, or dropped.",
            ["result"],
            registry=registry,
        )
        for result in ("delivered", "failed", "dropped"):
            self.deliveries.labels(result)
        self.retries = Counter(
            "emo_webhook_retries_total", "Repeated attempts to deliver an event.", registry=registry
        )
        self.queue = Gauge(
            "emo_webhook_queue",
            "Events that are not delivered yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
