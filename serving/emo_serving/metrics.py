"""Prometheus metrics of the server."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from emo_serving.admission import Admission

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class ServerMetrics:
    """Counters, gauges and histograms of requests, live calls, limits and overload."""

    def __init__(self, registry: CollectorRegistry, admission: Admission) -> None:
        self.registry = registry
        self.requests = Counter(
            "emo_http_requests_total",
            "Responses by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self.seconds = Histogram(
            "emo_http_request_seconds",
            "Time from the request's head to the end of the response.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.stream_ends = Counter(
            "emo_streams_ended_total",
            "Live calls that ended, by reason.",
            ["reason"],
            registry=registry,
        )
        self.connections = Gauge("emo_connections", "Open connections.", registry=registry)
        gauges = {
            "emo_calls": ("Requests in progress.", lambda: admission.calls),
            "emo_calls_limit": ("Limit of requests in progress.", lambda: admission.max_calls),
            "emo_streams": ("Live calls in progress.", lambda: admission.streams),
            "emo_streams_limit": ("Limit of live calls.", lambda: admission.max_streams),
            "emo_buffered_bytes": ("Memory of request bodies.", lambda: admission.buffered_bytes),
            "emo_overloaded": ("1 under overload, else 0.", lambda: float(admission.overloaded)),
        }
        for name, (description, value) in gauges.items():
            Gauge(name, description, registry=registry).set_function(value)
        registry.register(_Refusals(admission))


class _Refusals(Collector):
    """``emo_refused_total{limit}``: the limits that refused something."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> list[CounterMetricFamily]:
        """Return the counter."""
        family = CounterMetricFamily("emo_refused", "Refused by a limit.", labels=["limit"])
        for limit in ("calls", "streams", "client", "memory", "connections", "unauthenticated"):
            family.add_metric([limit], self._admission.refused[limit])
        return [family]
