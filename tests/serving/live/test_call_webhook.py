"""The events of live calls at a webhook."""

import json

import pytest
import websockets.sync.client as websockets
from standardwebhooks import Webhook

from emo_runtime import EmotionRecognizer
from emo_serving.service import Service
from emo_serving.settings import Settings
from emo_serving.webhooks.signature import WebhookError
from helpers.webhook_receiver import receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "¡Llevo tres semanas esperando una solución!"


def events(receiver):
    """Return the verified events in the order of their numbers."""
    found = [Webhook(SECRET).verify(body, headers) for headers, body in receiver.requests]
    return sorted(found, key=lambda event: event["data"]["sequence"])


def call(running, call_id="c1", **parameters):
    """Make a call with a partial answer, an error and a final answer; return what it receives."""
    with websockets.connect(running.url.replace("http", "ws") + "v1/stream") as live:
        body = {
            "callSid": call_id,
            "customParameters": {"text": TEXT, "interval_ms": 60000} | parameters,
        }
        live.send(json.dumps({"event": "start", "streamSid": "s1", "start": body}))
        live.send(json.dumps({"event": "mark"}))
        live.send("not a message")
        live.send(json.dumps({"event": "stop"}))
        return [json.loads(live.recv()) for _ in range(3)]


def finish(running):
    running.stop()
    running.join()


@pytest.mark.parametrize("partial", [True, False])
def test_final_answers_and_errors_are_delivered_before_the_server_ends(serving, partial):
    with receiving() as receiver:
        running = serving(webhook=receiver.url, webhook_secret=SECRET, webhook_partial=partial)
        sent = call(running)
        finish(running)
        found = events(receiver)
    wanted = sent if partial else sent[1:]
    assert [event["data"] for event in found] == [
        {"call": "c1", "sequence": number + 1, **event} for number, event in enumerate(wanted)
    ]
    assert found[-1]["type"] == "call.emotion"


def test_a_call_without_an_id_has_that_of_its_request(serving):
    with receiving() as receiver:
        running = serving(webhook=receiver.url, webhook_secret=SECRET)
        address = running.url.replace("http", "ws") + "v1/stream"
        headers = {"X-Request-ID": "req-1"}
        with websockets.connect(address, additional_headers=headers) as live:
            live.send(json.dumps({"event": "start", "start": {"customParameters": {"text": TEXT}}}))
        finish(running)
        assert [event["data"]["call"] for event in events(receiver)] == ["req-1"]


def test_a_call_names_a_webhook_of_an_allowed_origin(serving):
    with receiving() as usual, receiving() as other:
        running = serving(webhook=usual.url, webhook_origins=(other.url,), webhook_secret=SECRET)
        call(running, webhook=f"{other.url}/of/this/call")
        call(running, "c2")
        refused = call(running, "c3", webhook="http://127.0.0.2/")
        finish(running)
        assert {event["data"]["call"] for event in events(usual)} == {"c2"}
        assert {event["data"]["call"] for event in events(other)} == {"c1"}
    assert set(other.paths) == {"/of/this/call"}
    assert "this origin is not allowed" in refused[0]["error"]["message"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"webhook": "https://crm.example/"}, "needs a secret"),
        ({"webhook_origins": ("https://crm.example",)}, "needs a secret"),
        ({"webhook": "crm.example", "webhook_secret": SECRET}, "http or https"),
        ({"webhook_origins": ("https://crm.example/x",), "webhook_secret": SECRET}, "host and"),
    ],
)
def test_wrong_settings_are_refused_before_the_bundle_is_opened(settings, reason):
    def opened(*_, **__) -> EmotionRecognizer:
        raise AssertionError

    with pytest.raises(WebhookError, match=reason):
        Service(Settings(**settings), opened)
