"""The Twilio and Asterisk examples: TwiML, webhook, events of a call, compose files."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from http.server import ThreadingHTTPServer

import pytest
import yaml
from twilio.twiml.voice_response import VoiceResponse

import emo_serving.cli
from emo_serving.live.dialects.twilio import Twilio
from helpers.corpora import ROOT
from helpers.modules import load_module
from helpers.platform_calls import pcm
from helpers.processes import wait_until
from helpers.servers import running_server

FOLDER = ROOT / "examples/integrations"
CALL = "40325ec2-5efd-4bd3-805f-53576e581d13"
COMPOSE = [FOLDER / "twilio/compose.yaml", FOLDER / "asterisk/compose.yaml"]


@pytest.fixture
def voice(monkeypatch):
    """The running webhook of the Twilio example."""
    monkeypatch.setenv("PUBLIC_HOST", "emo.example.com")
    module = load_module(FOLDER / "twilio/voice.py")
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def post(url, data=b""):
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=300) as response:
        return response.status, response.read()


def test_the_twiml_is_that_of_twilios_library(voice):
    expected = VoiceResponse()
    stream = f"wss://emo.example.com/v1/stream/{Twilio.name}"
    expected.start().stream(url=stream, track="inbound_track")
    expected.say("Cuénteme qué ha pasado.", language="es-ES")
    expected.pause(length=60)
    status, body = post(f"{voice}/voice")
    assert status == 200
    given = ET.canonicalize(body.decode(), strip_text=True)
    assert given == ET.canonicalize(str(expected), strip_text=True)


def test_events_are_printed(voice, capsys):
    status, _ = post(f"{voice}/emotion", json.dumps({"label": "joy"}).encode())
    assert status == 204
    assert json.loads(capsys.readouterr().out) == {"label": "joy"}
    with pytest.raises(urllib.error.HTTPError):
        post(f"{voice}/other")


def frame(kind, payload=b""):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def test_the_events_of_a_call_of_asterisk():
    """A call over AudioSocket, as Asterisk makes it; the example prints its final answer."""
    with running_server("--audiosocket", "127.0.0.1:0") as server:
        found = re.compile(r"audiosocket 127\.0\.0\.1:(\d+)")
        wait_until(lambda: any(map(found.match, server.log)))
        [port] = [int(match[1]) for match in map(found.match, server.log) if match]
        with socket.create_connection(("127.0.0.1", port), timeout=300) as call:
            call.sendall(frame(1, bytes.fromhex(CALL.replace("-", ""))))
            call.sendall(frame(0x10, pcm(1.0)) + frame(0))
            with contextlib.suppress(ConnectionError):
                while call.recv(4096):
                    pass
        done = subprocess.run(
            [sys.executable, FOLDER / "asterisk/events.py", CALL],
            env=os.environ | {"EMO_SERVER": server.url.rstrip("/")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["final"]
    assert set(last["answer"]["scores"]) >= {"anger", "joy"}


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.parent.name)
def test_the_compose_files_give_options_that_the_server_has(path):
    composed = yaml.safe_load(path.read_text(encoding="utf-8"))
    service = composed["services"]["emo"]
    command = emo_serving.cli.main
    context = command.context_class(command, info_name="emo-serve", **command.context_settings)
    _, rest, _ = command.make_parser(context).parse_args(args=list(service["command"]))
    assert not rest
    build = path.parent / service["build"]["context"]
    assert (build / service["build"]["dockerfile"]).is_file()
    for each in composed["services"].values():
        for volume in each.get("volumes", []):
            assert (path.parent / volume.partition(":")[0]).is_file()
        for name in each.get("secrets", []):
            assert name in composed["secrets"]


def test_the_dialplan_calls_the_server_of_the_compose_file():
    dialplan = (FOLDER / "asterisk/extensions.conf").read_text()
    composed = yaml.safe_load((FOLDER / "asterisk/compose.yaml").read_text())
    [(host, port)] = re.findall(r"AudioSocket\(\$\{CALL_UUID\},(\w+):(\d+)\)", dialplan)
    assert f"--audiosocket=0.0.0.0:{port}" in composed["services"][host]["command"]
    subnet = composed["networks"]["telephony"]["ipam"]["config"][0]["subnet"]
    assert f"--audiosocket-client={subnet}" in composed["services"][host]["command"]
