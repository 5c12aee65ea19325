"""OpenTelemetry spans of requests and live calls, without text or sound."""

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emo_runtime import EmoError
from emo_serving.context import RequestContext

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_NAME = "emo-serve"
_tracer: "Tracer | None" = None


class TracingError(EmoError):
    """The packages that export traces are not installed."""


@contextlib.contextmanager
def exporting_traces() -> Iterator[None]:
    """Export spans by OTLP over HTTP until the block ends; ``OTEL_*`` variables configure it.

    Raises:
        TracingError: The extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  (an extra)
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise TracingError(
            f'--otel needs {error.name!r}: pip install "emo-runtime[otel]"'
        ) from None
    provider = TracerProvider(resource=Resource({"service.name": _NAME}).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        with tracing(provider):
            yield
    finally:
        provider.shutdown()


@contextlib.contextmanager
def tracing(provider: "TracerProvider") -> Iterator[None]:
    """Record the spans of this process with a provider until the block ends."""
    global _tracer  # noqa: PLW0603  (one tracer for a process)
    before, _tracer = _tracer, provider.get_tracer(_NAME)
    try:
        yield
    finally:
        _tracer = before


def record_span(
    name: str, context: RequestContext, seconds: float, attributes: dict[str, Any]
) -> None:
    """Record something that took ``seconds`` until now, as part of the caller's trace."""
    if _tracer is None:
        return
    from opentelemetry import trace  # noqa: PLC0415  (an extra)

    parent = None
    if context.trace_id is not None and context.parent_id is not None:
        remote = trace.SpanContext(
            int(context.trace_id, 16),
            int(context.parent_id, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(context.trace_flags),
        )
        parent = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    end = time.time_ns()
    span = _tracer.start_span(
        name,
        context=parent,
        kind=trace.SpanKind.SERVER,
        attributes={"emo.request_id": context.request_id, **attributes},
        start_time=end - int(seconds * 1e9),
    )
    if attributes.get("http.response.status_code", 0) >= 500:
        span.set_status(trace.StatusCode.ERROR)
    span.end(end)
