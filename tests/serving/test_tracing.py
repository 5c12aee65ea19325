"""Spans of requests and live calls, with OpenTelemetry's in-memory exporter and over OTLP."""

import sys

import httpx2 as httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from emo_serving.tracing import TracingError, exporting_traces, tracing
from helpers.servers import running_server
from helpers.webhook_receiver import receiving

SECRET = "una frase muy privada"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with tracing(provider):
        yield exporter
    provider.shutdown()


def test_a_request_is_a_span_of_the_callers_trace(client, spans):
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "req-1"}
    client.post("/v1/recognize", json={"text": SECRET}, headers=headers)
    [span] = spans.get_finished_spans()
    assert span.name == "POST /v1/recognize"
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
    assert dict(span.attributes) == {
        "emo.request_id": "req-1",
        "http.request.method": "POST",
        "http.route": "/v1/recognize",
        "http.response.status_code": 200,
    }
    assert span.end_time > span.start_time
    assert SECRET not in span.to_json()


def test_a_request_without_a_trace_has_its_own_and_an_unsampled_one_none(client, spans):
    client.get("/v1/bundle")
    client.get("/v1/bundle", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    [span] = spans.get_finished_spans()
    assert span.parent is None


def test_a_live_call_is_a_span(client, spans):
    with client.websocket_connect("/v1/stream") as socket:
        socket.send_json({"event": "start", "start": {"customParameters": {"text": SECRET}}})
        socket.send_text("not a message")
        assert socket.receive_json()["event"] == "error"
        socket.send_json({"event": "stop"})
        assert socket.receive_json()["final"]
        socket.send_json({"event": "start", "start": {}})
        socket.close()
    found = {span.name: span for span in spans.get_finished_spans()}
    call = found["live call"].attributes
    assert (call["emo.call.dialect"], call["emo.call.answers"]) == ("generic", 1)
    assert call["emo.call.errors"] >= 1
    assert found["GET /v1/stream"].attributes["http.response.status_code"] == 101
    assert not any(SECRET in span.to_json() for span in found.values())


def test_without_tracing_nothing_is_recorded(client, spans):
    with tracing(TracerProvider(shutdown_on_exit=False)):
        client.get("/v1/bundle")
    assert not spans.get_finished_spans()


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp", None)
    with pytest.raises(TracingError, match=r"emo-runtime\[otel\]"), exporting_traces():
        pass


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_the_command_exports_over_http(options):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra [otel]")
    with receiving(lambda _: (200, {})) as collector:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "calls"}
        with running_server("--otel", *options, **variables) as server:
            httpx.post(f"{server.url}v1/recognize", json={"text": SECRET}, timeout=300)
            assert server.stop() == 0
    assert set(collector.paths) == {"/v1/traces"}
    names, services = set(), set()
    for headers, body in collector.requests:
        assert headers["content-type"] == "application/x-protobuf"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            values = {each.key: each.value.string_value for each in resource.resource.attributes}
            services.add(values["service.name"])
            names |= {span.name for scope in resource.scope_spans for span in scope.spans}
    assert "POST /v1/recognize" in names
    assert services == {"calls"}
