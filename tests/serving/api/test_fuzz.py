"""Random requests and messages are refused or answered; no server error, no hang."""

import base64
import contextlib
import json
import logging

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.websockets import WebSocketDisconnect

EXAMPLES = 20


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_what_the_openapi_document_says_holds(server):
    document = schemathesis.openapi.from_url(f"{server.url}openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert {"/v1/recognize", "/v2/models/{name}/infer"} <= {each.path for each in operations}
    for operation in operations:

        @given(operation.as_strategy())
        @settings(max_examples=EXAMPLES)
        def check(case):
            case.call_and_validate(timeout=300, checks=CHECKS)

        check()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
payloads = st.binary(max_size=400).map(lambda data: base64.b64encode(data).decode())
forms = st.fixed_dictionaries(
    {},
    optional={
        "encoding": st.sampled_from(["mulaw", "alaw", "pcm_s16le", "pcm_f32le"]) | values,
        "sampleRate": st.sampled_from([8000, 48_000, 0, -1, 1 << 70]) | values,
        "channels": st.sampled_from([1, 2, 0, 1 << 40]) | values,
    },
)
wishes = st.dictionaries(
    st.sampled_from(["interval_ms", "task", "window_s", "track", "text"]),
    st.sampled_from(["text", "audio", "fusion", "1e3", "1e999", "0.000001", ""]) | values,
)
messages = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=50),
    st.just({"event": "stop"}),
    st.fixed_dictionaries({"event": st.just("media"), "media": st.builds(dict, payload=payloads)}),
    st.fixed_dictionaries(
        {
            "event": st.just("start"),
            "start": st.fixed_dictionaries(
                {}, optional={"mediaFormat": forms, "customParameters": wishes}
            ),
        }
    ),
    st.fixed_dictionaries(
        {
            "event": st.sampled_from(["mark", "transcript", "connected", "dtmf", "stop", "sing"]),
            "mark": st.builds(dict, name=st.text(max_size=9)),
            "transcript": st.builds(dict, text=st.text(max_size=40)),
        }
    ),
    st.dictionaries(st.sampled_from(["event", "start", "media"]), values),
)


@given(st.lists(messages, max_size=12))
@settings(max_examples=60)
def test_messages_of_live_calls(client, said):
    """After any messages, a call works in the same connection, or the server reports why not."""
    accidents = []
    handler = logging.Handler()
    handler.emit = accidents.append
    logger = logging.getLogger("emo_serving")
    logger.addHandler(handler)
    try:
        with client.websocket_connect("/v1/stream") as socket:
            for message in said:
                if isinstance(message, bytes):
                    socket.send_bytes(message)
                else:
                    is_text = isinstance(message, str)
                    socket.send_text(message if is_text else json.dumps(message))
            for event in ({"event": "stop"}, {"event": "start", "start": {}}):
                socket.send_text(json.dumps(event))
            socket.send_text('{"event": "transcript", "transcript": {"text": "hola"}}')
            socket.send_text('{"event": "mark", "mark": {"name": "the end"}}')
            with contextlib.suppress(WebSocketDisconnect):
                while (event := socket.receive_json()).get("mark") != "the end":
                    assert event["event"] in {"error", "emotion"}
    finally:
        logger.removeHandler(handler)
    assert accidents == []


SECRET = "secreto-que-nadie-debe-ver "
SECRETS = [
    SECRET,
    SECRET * 100,
    base64.b64encode(SECRET.encode() * 100).decode(),
    [SECRET],
    {SECRET: SECRET},
    {"text": SECRET * 9, "audio": SECRET},
    None,
    7,
]
FIELDS = ["text", "audio", "utterances", "speaker", "id", "inputs", "parameters", SECRET * 30]
BODIES = [
    *SECRETS,
    *({field: value} for field in FIELDS for value in SECRETS),
    *({"utterances": [{field: value}]} for field in FIELDS[:2] for value in SECRETS),
    *({"id": "1", "inputs": [{"name": "text", "data": value}]} for value in SECRETS),
]
KINDS = ["application/json", "multipart/form-data; boundary=b", "audio/wav"]


def strings(value):
    if isinstance(value, dict):
        return [text for item in value.items() for text in strings(list(item))]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []


def assert_short_and_silent(document):
    for text in strings(document):
        assert len(text) <= 500
        assert SECRET.strip() not in text
        assert base64.b64encode(SECRET.encode() * 3).decode() not in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "path",
    ["/v1/recognize", "/v1/recognize/batch", "/v1/timeline", "/v2/models/emo-es-small/infer"],
)
def test_errors_are_short_and_echo_neither_sound_nor_transcript(client, path, kind):
    refused = 0
    for body in BODIES:
        content = json.dumps(body).encode()
        if kind.startswith("multipart"):
            head = 'Content-Disposition: form-data; name="audio"; filename="a.wav"'
            content = b"--b\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
        answer = client.post(path, content=content, headers={"Content-Type": kind})
        if answer.status_code >= 400:
            refused += 1
            assert answer.status_code != 500
            assert_short_and_silent(answer.json())
    assert refused > len(BODIES) // 2


@pytest.mark.parametrize("message", [*SECRETS[:6], {"event": SECRET}, {"start": SECRETS}])
def test_errors_of_live_calls_are_short_and_echo_nothing(start, message):
    parameters = {"interval_ms": SECRET, "text": SECRET}
    begin = {"event": "start", "start": {"customParameters": parameters}}
    messages = (message, begin, {"event": "media", "media": {"payload": SECRET}}, {"event": "stop"})
    # After the last message the server waits for more, until the connection has been idle.
    client, checked = start(idle_s=1.0), 0
    with client.websocket_connect("/v1/stream") as socket, contextlib.suppress(WebSocketDisconnect):
        for sent in messages:
            socket.send_text(json.dumps(sent))
        while True:
            assert_short_and_silent(socket.receive_json())
            checked += 1
    assert checked
