"""Prometheus metrics of the server."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from emo_serving.admission import Admission

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class ServerMetrics:
    """Counters, gauges and histograms of requests, live calls, limits and overload.

    ``folder`` has the files in which the worker processes count, if there are several.
    """

    def __init__(
        self, registry: CollectorRegistry, admission: Admission, folder: str | None = None
    ) -> None:
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
        self.grpc_requests = Counter(
            "emo_grpc_requests_total",
            "Calls of the gRPC service by method and status.",
            ["method", "code"],
            registry=registry,
        )
        self.grpc_seconds = Histogram(
            "emo_grpc_request_seconds",
            "Time of a call of the gRPC service, from its metadata to its end.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.stream_ends = Counter(
            "emo_streams_ended_total",
            "Live calls that ended, by reason.",
            ["reason"],
            registry=registry,
        )
        self._current = CollectorRegistry()
        self._current.register(_Current(admission))
        self._folder = folder

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        counted = self.registry
        if self._folder is not None:
            counted = CollectorRegistry()
            MultiProcessCollector(counted, self._folder)  # type: ignore[no-untyped-call]
        return generate_latest(counted) + generate_latest(self._current)


class _Current(Collector):
    """Numbers that admission control has anyway: in progress, limits, refusals, overload."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        admission = self._admission
        connections = admission.counts.total("connections")
        for name, description, value in (
            ("emo_connections", "Open connections.", connections),
            ("emo_calls", "Requests in progress.", admission.calls),
            ("emo_calls_limit", "Limit of requests in progress.", admission.max_calls),
            ("emo_streams", "Live calls in progress.", admission.streams),
            ("emo_streams_limit", "Limit of live calls.", admission.max_streams),
            ("emo_buffered_bytes", "Memory of request bodies.", admission.buffered_bytes),
            ("emo_overloaded", "1 under overload, else 0.", admission.overloaded),
            ("emo_workers", "Worker processes.", admission.counts.running()),
        ):
            yield GaugeMetricFamily(name, description, float(value))
        refused = CounterMetricFamily("emo_refused", "Refused by a limit.", labels=["limit"])
        for limit, count in admission.refused.items():
            refused.add_metric([limit], count)
        yield refused
        lost = "Worker processes that ended unexpectedly."
        yield CounterMetricFamily("emo_workers_lost", lost, admission.counts.lost())
        failed = "Restarts of the workers that failed: the bundle could not be opened."
        yield CounterMetricFamily("emo_restarts_failed", failed, admission.counts.failed_restarts())
