"""Deliveries to a real HTTP server: retries, limits, no redirects, the end."""

import asyncio
import logging
import socket
import threading

import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook

from emo_serving.webhooks.delivery import Deliveries, Message
from emo_serving.webhooks.metrics import WebhookMetrics
from helpers.webhook_receiver import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Run:
    """Deliveries whose waiting times are recorded, and nothing is waited for."""

    def __init__(self, *, max_queue=10, timeout_s=300.0, close_s=300.0):
        self.registry = CollectorRegistry()
        self.waits: list[float] = []
        self.deliveries = Deliveries(
            SECRET, max_queue, timeout_s, WebhookMetrics(self.registry), self._wait
        )
        self.close_s = close_s

    def _wait(self, longest):
        self.waits.append(longest)
        return 0.0

    def send(self, *messages):
        async def run():
            for message in messages:
                self.deliveries.send(message)
            await self.deliveries.close(self.close_s)

        asyncio.run(run())

    def count(self, name, **labels):
        return self.registry.get_sample_value(name, labels)

    def results(self):
        names = ("delivered", "failed", "dropped")
        return [self.count("emo_webhook_deliveries_total", result=name) for name in names]


def test_a_message_is_delivered_and_can_be_verified():
    run = Run()
    with receiving() as receiver:
        run.send(Message(f"{receiver.url}/events?a=b", b'{"a": 1}'))
    [(headers, body)] = receiver.requests
    assert receiver.paths == ["/events?a=b"]
    assert Webhook(SECRET).verify(body, headers) == {"a": 1}
    assert headers["content-type"] == "application/json"
    assert run.results() == [1, 0, 0]


def test_temporary_failures_are_repeated_with_the_same_id():
    run = Run()
    with receiving(lambda number: ([503, 429, 500, 200][number], {})) as receiver:
        run.send(Message(receiver.url, b"{}"))
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert run.waits == [0.5, 1.0, 2.0]
    assert run.results() == [1, 0, 0]
    assert run.count("emo_webhook_retries_total") == 3


def test_it_gives_up_after_eight_attempts(caplog):
    run = Run()
    with receiving(lambda _: (500, {})) as receiver:
        run.send(Message(receiver.url, b"{}"))
    assert len(receiver.requests) == 8
    assert run.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert run.results() == [0, 1, 0]
    assert "event failed: status 500" in caplog.text


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_other_statuses_are_final_and_redirects_are_not_followed(status):
    run = Run()
    with receiving(lambda _: (status, {"location": "/elsewhere"})) as receiver:
        run.send(Message(f"{receiver.url}/here", b"{}"))
    assert receiver.paths == ["/here"]
    assert run.results() == [0, 1, 0]


def test_retry_after_is_respected(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    run = Run()
    with receiving(lambda number: ([503, 503, 200][number], {"retry-after": "7"})) as receiver:
        monkeypatch.setattr(asyncio, "sleep", sleep)
        run.send(Message(receiver.url, b"{}"))
    assert slept == [7.0, 7.0]


def test_a_refused_connection_and_a_silent_server_are_repeated():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run = Run(timeout_s=0.1)
        run.send(Message(url, b"{}"))
        assert run.results() == [0, 1, 0]
    run = Run()
    run.send(Message(url, b"{}"))
    assert run.results() == [0, 1, 0]
    assert len(run.waits) == 7


def test_the_queue_of_a_host_is_bounded_and_other_hosts_are_not_affected(caplog):
    run = Run(max_queue=3)
    caplog.set_level(logging.WARNING)
    with receiving() as one, receiving() as other:
        run.send(
            *(Message(f"{one.url}/secret-path", b"{}") for _ in range(10)),
            *(Message(other.url, b"{}") for _ in range(2)),
        )
    assert (len(one.requests), len(other.requests)) == (3, 2)
    assert run.results() == [5, 0, 7]
    [line] = [record.message for record in caplog.records]
    assert "the queue is full" in line
    assert "secret-path" not in line


def test_no_more_than_eight_requests_at_once_to_a_host():
    together, lock = threading.Barrier(8), threading.Lock()
    running = [0, 0]  # now, and at most

    def respond(number):
        with lock:
            running[0] += 1
            running[1] = max(running)
        together.wait(300)
        with lock:
            running[0] -= 1
        return 204, {}

    run = Run(max_queue=16)
    with receiving(respond) as receiver:
        run.send(*(Message(receiver.url, b"{}") for _ in range(16)))
    assert run.results() == [16, 0, 0]
    assert running == [0, 8]


def test_what_is_not_delivered_at_the_end_is_dropped():
    run = Run(close_s=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        run.send(*(Message(url, b"{}") for _ in range(4)))
    assert run.results() == [0, 0, 4]
    assert run.count("emo_webhook_queue") == 0


def test_an_endless_response_is_cut_off():
    run = Run()
    with receiving(lambda _: (200, {"content-length": str(1 << 40)})) as receiver:
        run.send(Message(receiver.url, b"{}"))
    assert run.results() == [1, 0, 0]
