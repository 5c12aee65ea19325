"""AudioSocket connections over TCP: answers elsewhere, limits, the end of the server."""

import contextlib
import json
import socket
import time
import uuid
from dataclasses import replace

import httpx2 as httpx
import numpy as np
import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook

from emo_serving.cli import main
from emo_serving.tokens import Token
from helpers.platform_calls import packets, pcm
from helpers.processes import wait_until
from helpers.servers import running_server
from helpers.webhook_receiver import receiving

CALL = "40325ec2-5efd-4bd3-805f-53576e581d13"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HANGUP = bytes(3)


def frame(kind, payload=b""):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


IDENTITY = frame(1, uuid.UUID(CALL).bytes)


@contextlib.contextmanager
def calling(running):
    """Connect as Asterisk does."""
    with socket.create_connection(running.audiosocket, timeout=300) as call:
        yield call


def is_closed(call):
    """True once the server has hung up."""
    with contextlib.suppress(ConnectionError):
        while data := call.recv(4096):
            assert data == HANGUP
    return True


@pytest.mark.parametrize("end", [frame(0), frame(0xFF, b"\x01"), b"", b"\x10\xff"])
def test_a_call_is_answered_by_events_and_webhook(serving, recognizer, end):
    sound = pcm(1.2)
    with receiving() as receiver:
        running = serving(audiosocket=True, webhook=receiver.url, webhook_secret=SECRET)
        with calling(running) as call:
            call.sendall(IDENTITY)
            for packet in packets(sound, 320):
                call.sendall(frame(0x10, packet))
            call.sendall(end)
            call.shutdown(socket.SHUT_WR)
            assert is_closed(call)
        text = httpx.get(f"{running.url}v1/calls/{CALL}/events", timeout=300).text
        running.stop()
        running.join()
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    samples = np.frombuffer(sound, "<i2").astype(np.float32) / 32768
    assert events[-1]["final"]
    assert events[-1]["answer"]["scores"] == recognizer.recognize(None, (samples, 8000)).scores
    [(headers, body)] = receiver.requests
    assert Webhook(SECRET).verify(body, headers)["data"]["call"] == CALL


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x01", frame(0x10, b"ab"), b"GET / HTTP/1.1\r\n\r\n", frame(1, b"short") * 20],
    ids=["nothing", "half", "sound", "http", "malformed"],
)
def test_a_connection_without_a_uuid_is_closed(serving, sent):
    running = serving(audiosocket=True, head_timeout_s=0.2)
    with calling(running) as call:
        call.sendall(sent)
        assert is_closed(call)
    assert running.service.admission.idle


def test_limits_of_connections_calls_and_silence(serving):
    running = serving(audiosocket=True, max_streams=1, max_connections=3)
    with calling(running) as first, calling(running) as second:
        first.sendall(IDENTITY)
        wait_until(lambda: running.service.admission.streams == 1)
        second.sendall(IDENTITY)
        assert is_closed(second)
        running.service.settings = replace(running.service.settings, idle_s=0.6)
        assert is_closed(first), "idle timeout"
    assert running.service.admission.refused["streams"] == 1


def test_connections_of_other_machines_are_refused(serving):
    running = serving(audiosocket=True, audiosocket_clients=("10.0.0.0/8",))
    with calling(running) as call:
        assert is_closed(call)
    assert not running.service.admission.refused["connections"]


def test_the_calls_belong_to_a_token(serving):
    tokens = (Token("a", "one"), Token("b", "two"))
    running = serving(audiosocket=True, tokens=tokens, audiosocket_owner="two")
    with calling(running) as call:
        call.sendall(IDENTITY + frame(0x10, pcm(0.5)[:8000]) + frame(0))
        assert is_closed(call)
    for secret, status in [("a", 404), ("b", 200)]:
        headers = {"authorization": f"Bearer {secret}"}
        path = f"{running.url}v1/calls/{CALL}/events"
        assert httpx.get(path, headers=headers, timeout=300).status_code == status


def test_a_running_call_gets_its_final_answer_when_the_server_ends(serving):
    with receiving() as receiver:
        running = serving(audiosocket=True, webhook=receiver.url, webhook_secret=SECRET)
        with calling(running) as call:
            call.sendall(IDENTITY + frame(0x10, pcm(0.5)[:8000]))
            wait_until(lambda: running.service.calls.get(CALL, "") is not None)
            running.stop()
            assert is_closed(call)
        running.join()
        assert len(receiver.requests) == 1


def test_the_command(recognizer):
    with running_server("--audiosocket", "127.0.0.1:0") as server:
        while not (lines := [line for line in server.log if line.startswith("audiosocket")]):
            time.sleep(0.01)
        [line] = lines
        port = int(line.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=300) as call:
            call.sendall(IDENTITY + frame(0x10, pcm(0.5)[:8000]) + frame(0))
            assert is_closed(call)
        assert "final" in httpx.get(f"{server.url}v1/calls/{CALL}/events", timeout=300).text
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--audiosocket", "9092"], "give HOST:PORT"),
        (["--audiosocket", "127.0.0.1:70000"], "give HOST:PORT"),
        (["--audiosocket", "127.0.0.1:0", "--audiosocket-owner", "x"], "no token of this name"),
        (["--audiosocket", "127.0.0.1:0", "--audiosocket-client", "10.0.0.1/8"], "network"),
        (["--audiosocket", "127.0.0.1:0", "--ray"], "--ray"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    refused = CliRunner().invoke(main, ["--port", "0", *options])
    assert refused.exit_code == 2
    assert reason in refused.stderr
