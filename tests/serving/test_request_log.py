"""The access log: JSON lines with identifiers, without text or sound."""

import io
import json
import threading

from emo_serving.admission import Client
from emo_serving.context import RequestContext
from emo_serving.request_log import LogWriter, log_event, writing_log
from helpers.processes import wait_until

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "una frase muy privada"


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_request_is_one_line_with_its_ids(client):
    stream = io.StringIO()
    headers = {"x-request-id": "r-1", "traceparent": TRACE}
    with writing_log(stream):
        client.post("/v1/recognize", json={"text": SECRET}, headers=headers)
        client.get(f"/{SECRET}", headers={"traceparent": TRACE.replace("4bf9", "XXXX")})
    first, second = lines(stream)
    assert (first["event"], first["method"], first["route"]) == ("request", "POST", "/v1/recognize")
    assert (first["status"], first["request_id"]) == (200, "r-1")
    assert first["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert first["parent_id"] == "00f067aa0ba902b7"
    assert first["ms"] > 0
    assert (second["status"], second["route"]) == (404, "other")
    assert "trace_id" not in second
    assert SECRET not in stream.getvalue()


def test_a_live_call_is_logged_with_its_counts(client):
    stream = io.StringIO()
    with writing_log(stream):
        with client.websocket_connect("/v1/stream") as socket:
            socket.send_json({"event": "start", "start": {"customParameters": {"text": SECRET}}})
            socket.send_json({"event": "stop"})
            assert socket.receive_json()["final"]
            socket.send_text("nothing")
            socket.receive_json()
        found = lines_when(stream, 2)
    call = next(line for line in found if line["event"] == "call")
    assert (call["dialect"], call["reason"]) == ("generic", "disconnected")
    assert (call["utterances"], call["answers"], call["errors"]) == (1, 1, 1)
    assert SECRET not in stream.getvalue()


def lines_when(stream, count):
    """Wait until so many lines were written."""
    wait_until(lambda: stream.getvalue().count("\n") >= count)
    return lines(stream)


def test_a_blocked_reader_does_not_block_the_server(monkeypatch):
    monkeypatch.setattr("emo_serving.request_log._MAX_QUEUE", 4)
    reading = threading.Event()

    class Blocked(io.StringIO):
        def write(self, text):
            assert reading.wait(300)
            return super().write(text)

    stream = Blocked()
    writer = LogWriter(stream)
    for number in range(20):
        writer.write({"number": number})
    assert writer.dropped >= 14
    reading.set()
    writer.close()
    assert len(lines(stream)) == 20 - writer.dropped


def test_records_outside_of_the_block_are_discarded(capfd):
    stream = io.StringIO()
    with writing_log(stream):
        log_event("request", RequestContext("inside", client=Client("x")), status=200)
    log_event("request", RequestContext("outside", client=Client("x")), status=200)
    assert [line["request_id"] for line in lines(stream)] == ["inside"]
    assert capfd.readouterr() == ("", "")
