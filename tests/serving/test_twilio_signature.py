"""Twilio's signatures, made by Twilio's own library."""

import pytest
from starlette.websockets import WebSocketDisconnect
from twilio.request_validator import RequestValidator

from emo_serving.tokens import Token
from emo_serving.twilio_signature import has_valid_signature

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
HOST = "calls.example"


def scope(signature, *, host=HOST, path="/v1/stream/twilio", query="", settings=None):
    headers = [(b"host", host.encode()), (b"x-twilio-signature", signature.encode())]
    if settings is not None:
        headers.append((b"x-twilio-webhooks-signature-settings", settings.encode()))
    return {
        "type": "websocket",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }


def signature(url, algorithm=None):
    return RequestValidator(AUTH_TOKEN).compute_signature(url, {}, algorithm)


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (f"wss://{HOST}/v1/stream/twilio", {}),
        (f"wss://{HOST}:443/v1/stream/twilio", {}),
        (f"wss://{HOST}/v1/stream/twilio", {"host": f"{HOST}:443"}),
        (f"wss://{HOST}:8443/v1/stream/twilio", {"host": f"{HOST}:8443"}),
        (f"ws://{HOST}/v1/stream/twilio", {}),
        (f"wss://{HOST}/v1/stream/twilio?a=b%20c", {"query": "a=b%20c"}),
        (f"wss://{HOST}/v1/stream/twilio/t%2Bk", {"path": "/v1/stream/twilio/t%2Bk"}),
    ],
)
def test_the_signature_of_the_url_is_accepted(url, seen):
    assert has_valid_signature(scope(signature(url), **seen), AUTH_TOKEN)
    assert not has_valid_signature(scope(signature(url), **seen), AUTH_TOKEN[::-1])


def test_the_newer_algorithm():
    settings = "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"
    made = signature(f"wss://{HOST}/v1/stream/twilio", "HMAC_SHA256")
    assert has_valid_signature(scope(made, settings=settings), AUTH_TOKEN)
    assert not has_valid_signature(scope(made), AUTH_TOKEN)
    assert not has_valid_signature(scope(made, settings="algorithm=HMAC_MD5"), AUTH_TOKEN)


@pytest.mark.parametrize(
    "url",
    [
        f"https://{HOST}/v1/stream/twilio",
        f"wss://{HOST}/v1/stream/twilio/",
        "wss://other.example/v1/stream/twilio",
        f"wss://{HOST}/v1/stream/twilio?a=b",
    ],
)
def test_the_signature_of_another_url_is_refused(url):
    assert not has_valid_signature(scope(signature(url)), AUTH_TOKEN)


def status_of(client, path="/v1/stream/twilio", **headers):
    """Return the status of a handshake."""
    try:
        with client.websocket_connect(f"wss://{HOST}{path}", headers=headers):
            return 101
    except WebSocketDisconnect as refused:
        return refused.status_code  # type: ignore[attr-defined]


def test_a_server_without_tokens_requires_the_signature_on_twilios_path(start):
    client = start(twilio_auth_token=AUTH_TOKEN)
    good = {"x-twilio-signature": signature(f"wss://{HOST}/v1/stream/twilio")}
    assert status_of(client, **good) == 101
    assert status_of(client) == 401
    assert status_of(client, "/v1/stream/twilio/x") == 401
    assert status_of(client, **{"x-twilio-signature": "x"}) == 401
    assert status_of(client, "/v1/stream/telnyx") == 101


def test_a_signed_call_belongs_to_the_token_with_this_auth_token(start):
    tokens = (Token("a", "one", max_streams=0), Token("b", "two", twilio_auth_token=AUTH_TOKEN))
    client = start(tokens=tokens)
    good = {"x-twilio-signature": signature(f"wss://{HOST}/v1/stream/twilio")}
    begin = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    body = {"callSid": "CA1", "mediaFormat": begin}
    with client.websocket_connect(f"wss://{HOST}/v1/stream/twilio", headers=good) as call:
        call.send_json({"event": "start", "streamSid": "MZ1", "start": body})
        statuses = {}
        while statuses.get("b", 404) == 404:  # until the start was handled
            for secret in ("b", "a"):
                statuses[secret] = client.post(
                    "/v1/calls/CA1/transcript",
                    json={"text": "hola"},
                    headers={"authorization": f"Bearer {secret}"},
                ).status_code
        assert statuses == {"a": 404, "b": 200}
    other = {"x-twilio-signature": signature(f"wss://{HOST}/v1/stream/telnyx")}
    assert status_of(client, "/v1/stream/telnyx/x", **other) == 401
    assert AUTH_TOKEN not in repr(tokens)
