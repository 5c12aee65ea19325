"""Receiving bodies: limits of size, time and memory; slots are taken by whole bodies only."""

import asyncio

import pytest
from starlette.requests import Request

from emo_runtime import OverloadedError
from emo_serving.admission import Admission
from emo_serving.api.bodies import received_body
from emo_serving.errors import RequestError, SlowUploadError, TooLargeError
from emo_serving.settings import Settings
from helpers.sounds import as_file, speechlike


def receive_parts(*parts, settings=None, limit=100, admission=None, length=None):
    """Receive a body that arrives in these parts; None: the client disconnects."""
    waiting = list(parts)

    async def receive():
        if not waiting:
            await asyncio.Event().wait()
        part = waiting.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": part != b""}

    headers = [] if length is None else [(b"content-length", length)]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)

    async def collect():
        chosen = settings or Settings()
        control = admission or Admission(1, 1, 1)
        async with received_body(request, chosen, control, limit) as body:
            return body

    return asyncio.run(collect())


def test_a_body_is_joined_from_its_parts():
    assert receive_parts(b"ab", b"cd", b"") == b"abcd"
    assert receive_parts(b"") == b""


def test_a_body_beyond_the_limit_is_refused():
    assert receive_parts(b"a" * 100, b"") == b"a" * 100
    with pytest.raises(TooLargeError):
        receive_parts(b"a" * 60, b"a" * 41, b"")
    for length in (b"101", b"9" * 500):
        with pytest.raises(TooLargeError):
            receive_parts(b"a", b"", length=length)


def test_a_truncated_body_is_an_error():
    with pytest.raises(RequestError, match="before the end"):
        receive_parts(b"ab", None)


def test_a_slow_body_is_refused():
    with pytest.raises(SlowUploadError):
        receive_parts(b"ab", settings=Settings(upload_timeout_s=0.05))


def test_memory_for_bodies_has_a_limit():
    admission = Admission(1, 1, 1, max_buffered_bytes=200)
    with pytest.raises(OverloadedError):
        receive_parts(b"a" * 40, b"a" * 11, b"", admission=admission)
    assert admission.buffered_bytes == 0


def test_sizes(start):
    client = start(
        max_body_bytes=200_000,
        max_json_bytes=100_000,
        max_text_characters=50,
        max_duration_s=1.0,
        max_batch=2,
    )
    sound = as_file(speechlike(1.5, 16_000), 16_000)
    for reply, status in [
        (client.post("/v1/recognize", json={"text": "no " * 17}), 413),
        (client.post("/v1/recognize", json={"text": "no " * 40_000}), 413),
        (client.post("/v1/recognize", files={"audio": ("a.wav", bytes(150_000))}), 422),
        (client.post("/v1/recognize", files={"audio": ("a.wav", bytes(300_000))}), 413),
        (client.post("/v1/recognize", files={"audio": ("a.wav", sound)}), 422),
        (client.post("/v1/recognize/batch", json={"utterances": [{"text": "a"}] * 3}), 413),
    ]:
        assert reply.status_code == status, reply.text
    reply = client.post("/v1/recognize", content=(bytes(1000) for _ in range(300)))
    assert reply.status_code == 415  # the body is not read
    headers = {"content-type": "application/json"}
    endless = (b" " * 1000 for _ in range(300))
    assert client.post("/v1/recognize", content=endless, headers=headers).status_code == 413


def test_an_answer_that_takes_too_long_is_503(start, held):
    client = start(held.open, timeout_s=0.2)
    held.go.clear()
    reply = client.post("/v1/recognize", json={"text": "hola"})
    assert (reply.status_code, reply.json()["error"]["kind"]) == (503, "UnavailableError")
    assert "retry-after" in reply.headers
    batch = client.post("/v1/recognize/batch", json={"utterances": [{"text": "hola"}]})
    assert batch.status_code == 503
