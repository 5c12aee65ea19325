"""emo-serve --workers: one server of several processes, whichever of them answers."""

import json
import os
import shutil
import signal
import socket
import ssl
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import websockets.sync.client as websockets
from websockets.exceptions import ConnectionClosed, InvalidStatus

from emo_runtime import EmotionRecognizer
from helpers.certificates import write_certificate
from helpers.processes import run_python, wait_until
from helpers.servers import RunningServer, running_server
from helpers.tiny import Tiny, write_bundle

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="the workers are found in Linux's /proc"
)
TEXT = "¡Llevo tres semanas esperando una solución!"
# Without certificates, which take longer to load than a request.
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
START = {"event": "start", "start": {"customParameters": {"text": TEXT}}}


def get(url: str, **options: Any) -> httpx.Response:
    """Send a request on a new connection."""
    return httpx.get(url, **({"timeout": 300, "verify": CONTEXT} | options))


def post(url: str, **options: Any) -> httpx.Response:
    """Send a request on a new connection."""
    return httpx.post(url, timeout=300, verify=CONTEXT, **options)


def workers_of(server: RunningServer) -> list[int]:
    """The process ids of the workers."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def metric(server: RunningServer, name: str) -> float:
    """A metric, or the sum of all with this name."""
    lines = get(f"{server.url}metrics").text.splitlines()
    samples = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in samples)


def events(server: RunningServer, kind: str) -> list[dict[str, Any]]:
    """The lines of the log with this event."""
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    return [line for line in lines if line["event"] == kind]


def folder_of(server: RunningServer) -> Path:
    """The folder of the workers' metrics, which each of them has mapped into its memory."""
    maps = Path(f"/proc/{workers_of(server)[0]}/maps").read_text()
    [folder] = {
        Path(line.split(maxsplit=5)[5]).parent for line in maps.splitlines() if line.endswith(".db")
    }
    return folder


def connections_of(pid: int) -> set[str]:
    """The sockets that a process has open."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(each.readlink()))
        except OSError:
            continue
    return {name for name in found if name.startswith("socket:")}


def live(server: RunningServer, path: str = "stream"):
    return websockets.connect(server.url.replace("http", "ws") + f"v1/{path}")


@pytest.fixture(scope="module")
def shared():
    with running_server("--workers", "2", "--threads", "2", "--max-streams", "6") as running:
        yield running


def test_every_worker_answers_as_the_library_does(shared, recognizer):
    expected = recognizer.recognize(TEXT).scores
    before = metric(shared, "emo_answers_total")
    with ThreadPoolExecutor(4) as pool:
        url = f"{shared.url}v1/recognize"
        replies = pool.map(lambda _: post(url, json={"text": TEXT}).json(), range(40))
        assert all(reply["scores"] == expected for reply in replies)
    # Whichever worker is asked, it has counted the requests of all.
    assert {metric(shared, "emo_answers_total") for _ in range(10)} == {before + 40}
    assert metric(shared, "emo_workers") == 2
    assert metric(shared, "emo_workers_lost_total") == 0
    assert get(f"{shared.url}v1/bundle").json()["limits"]["streams"] == 6


def test_live_calls_are_spread_and_their_limit_is_a_total(shared, recognizer):
    expected = recognizer.recognize(TEXT).scores
    before = {pid: connections_of(pid) for pid in workers_of(shared)}
    with ExitStack() as stack:
        calls = [stack.enter_context(live(shared)) for _ in range(6)]
        added = [len(connections_of(pid) - before[pid]) for pid in before]
        assert min(added) >= 2, "each worker has some of the calls"
        for _ in range(4):
            with pytest.raises(InvalidStatus) as caught, live(shared):
                pass
            assert caught.value.response.status_code == 429
        assert {metric(shared, "emo_streams") for _ in range(6)} == {6}
        for call in calls:
            call.send(json.dumps(START))
            call.send('{"event": "stop"}')
            assert json.loads(call.recv())["answer"]["scores"] == expected
    wait_until(lambda: metric(shared, "emo_streams") == 0)
    assert metric(shared, 'emo_refused_total{limit="streams"}') == 4


def test_events_and_transcripts_reach_the_worker_of_a_call(shared, recognizer):
    """Requests on new connections are answered by either worker."""
    url = f"{shared.url}v1/calls/c-1"
    with ThreadPoolExecutor(4) as pool, live(shared, "stream/generic") as call:
        start = {"event": "start", "start": {"callSid": "c-1"}}
        call.send(json.dumps(start))
        call.send('{"event": "mark", "mark": {"name": "x"}}')
        assert json.loads(call.recv())["event"] == "error"  # no text yet: the call is known now
        listening = [pool.submit(lambda: get(f"{url}/events").text) for _ in range(4)]
        wait_until(lambda: metric(shared, "emo_connections") >= 6)
        for number in range(8):
            reply = post(f"{url}/transcript", json={"text": f"{TEXT} {number}"})
            assert (reply.status_code, reply.json()) == (200, {"call": "c-1"})
        long = post(f"{url}/transcript", json={"text": "a" * 20_001})
        assert (long.status_code, long.json()["error"]["kind"]) == (413, "TooLargeError")
        call.send('{"event": "stop"}')
        final = json.loads(call.recv())
    assert final["answer"]["scores"] == recognizer.recognize(f"{TEXT} 7").scores
    for each in listening:
        lines = [line[6:] for line in each.result().splitlines() if line.startswith("data: ")]
        assert json.loads(lines[-1]) == final
    for _ in range(6):  # after its end, from either worker
        assert json.dumps(final["answer"]["label"]) in get(f"{url}/events").text
        late = post(f"{url}/transcript", json={"text": TEXT})
        assert (late.status_code, late.json()["error"]["message"]) == (404, "this call has ended.")
    assert get(f"{shared.url}v1/calls/c-2/events").status_code == 404


def test_a_lost_worker_is_replaced_and_counted(recognizer):
    expected = recognizer.recognize(TEXT).scores
    with running_server("--workers", "2", "--threads", "2") as server:
        for _ in range(20):
            post(f"{server.url}v1/recognize", json={"text": TEXT})
        counted = metric(server, "emo_answers_total")
        before = workers_of(server)
        with live(server) as call:
            call.send(json.dumps(START))
            call.send('{"event": "mark"}')
            call.recv()
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(ConnectionClosed):
                call.recv(timeout=300)
        wait_until(lambda: len(events(server, "worker_lost")) == 2)
        # Connections wait for the new workers instead of being refused.
        reply = post(f"{server.url}v1/recognize", json={"text": TEXT})
        assert reply.json()["scores"] == expected
        wait_until(lambda: metric(server, "emo_workers") == 2)
        assert not set(before) & set(workers_of(server))
        assert metric(server, "emo_workers_lost_total") == 2
        assert metric(server, "emo_streams") == 0, "its live call counts no longer"
        assert metric(server, "emo_answers_total") >= counted + 1, "its counters are kept"
        first, second = events(server, "worker_lost")
        assert {first["exit"], second["exit"]} == {-9}
        assert second["restart_in_s"] > first["restart_in_s"]
        assert server.stop(300) == 0


def test_sighup_replaces_the_workers_without_losing_an_answer(tmp_path, recognizer):
    expected = recognizer.recognize(TEXT).scores
    token = tmp_path / "token"
    token.write_text("one", encoding="ascii")
    options = ("--workers", "2", "--threads", "2", "--drain-s", "300", "--token-file", str(token))
    replaced, failures = threading.Event(), []

    def keep_asking(url):
        """Ask on a connection that is kept, then on new ones, with either token."""
        answers = 0
        headers = {"authorization": "Bearer one"}
        with httpx.Client(timeout=300, verify=CONTEXT) as client:
            while not replaced.is_set() or answers < 20:
                try:
                    reply = client.post(f"{url}v1/recognize", json={"text": TEXT}, headers=headers)
                except httpx.TransportError as error:
                    failures.append(repr(error))
                    return
                if reply.status_code == 401:
                    headers = {"authorization": "Bearer two"}
                    continue
                answers += 1
                if reply.status_code != 200 or reply.json()["scores"] != expected:
                    failures.append(reply.text)

    with running_server(*options) as server:
        before = workers_of(server)
        headers = {"authorization": "Bearer one"}
        url = server.url.replace("http", "ws") + "v1/stream"
        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(keep_asking, server.url) for _ in range(2)]
            with websockets.connect(url, additional_headers=headers) as call:
                call.send(json.dumps(START))
                call.send('{"event": "mark"}')
                assert json.loads(call.recv())["answer"]["scores"] == expected
                token.write_text("two", encoding="ascii")
                server.process.send_signal(signal.SIGHUP)
                wait_until(lambda: len(set(workers_of(server)) - set(before)) >= 1)
                assert get(f"{server.url}readyz").status_code == 200
                call.send('{"event": "stop"}')
                assert json.loads(call.recv())["answer"]["scores"] == expected
            wait_until(lambda: not set(workers_of(server)) & set(before))
            replaced.set()
            for each in asking:
                each.result()
        assert failures == []
        for secret, status in (("one", 401), ("two", 200)):
            headers = {"authorization": f"Bearer {secret}"}
            assert get(f"{server.url}v1/bundle", headers=headers).status_code == status
        assert len(events(server, "restart")) == 1
        assert server.stop(300) == 0


def test_a_restart_that_fails_leaves_the_workers_as_they_are(tmp_path):
    def tokens(*names: str) -> str:
        return "".join(f'[[tokens]]\nname = "{name}"\ntoken = "{name}"\n' for name in names)

    token, twilio = tmp_path / "tokens.toml", tmp_path / "twilio.toml"
    token.write_text(tokens("one"), encoding="ascii")
    twilio.write_text(tokens("a"), encoding="ascii")
    options = ("--token-file", str(token), "--twilio-auth-token-file", str(twilio))
    calls = ("--audiosocket", "127.0.0.1:0", "--audiosocket-owner", "one")
    with running_server("--workers", "2", *options, *calls) as server:
        before = workers_of(server)

        def fail(count: int) -> None:
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: len(events(server, "restart_failed")) == count)
            assert workers_of(server) == before

        token.unlink()
        fail(1)
        token.write_bytes(b"\xff")
        fail(2)
        # Files that do not fit the options.
        token.write_text(tokens("two"), encoding="ascii")
        fail(3)
        token.write_text(tokens("one"), encoding="ascii")
        twilio.write_text(tokens("a", "b"), encoding="ascii")
        fail(4)
        headers = {"authorization": "Bearer one"}
        assert get(f"{server.url}v1/bundle", headers=headers).status_code == 200


def test_replaced_bundles_are_loaded_by_all_workers(tmp_path):
    expected = []
    for seed in range(3):
        write_bundle(tmp_path / str(seed), Tiny(seed=seed))
        with EmotionRecognizer.open(tmp_path / str(seed), self_test=False) as recognizer:
            expected.append(recognizer.recognize("hola").scores)
    served = tmp_path / "served"
    shutil.copytree(tmp_path / "1", served)
    options = ("--workers", "2", "--reload-s", "0.2", "--bundle", f"a={served}")
    with running_server("--bundle", f"first={tmp_path / '0'}", *options) as server:

        def found(bundle: str) -> list[dict[str, float]]:
            bodies = [{"text": "hola", "bundle": bundle}] * 6
            replies = [post(f"{server.url}v1/recognize", json=body) for body in bodies]
            return [reply.json()["scores"] for reply in replies]

        before = workers_of(server)
        assert found("a") == [expected[1]] * 6
        served.rename(tmp_path / "old")
        shutil.copytree(tmp_path / "2", served)
        wait_until(lambda: not set(workers_of(server)) & set(before))
        assert found("a") == [expected[2]] * 6
        assert found("first") == [expected[0]] * 6
        after = workers_of(server)
        golden = served / "golden.json"
        golden.write_bytes(golden.read_bytes()[:-1])
        wait_until(lambda: bool(events(server, "restart_failed")))
        assert found("a") == [expected[2]] * 6
        assert workers_of(server) == after
        assert metric(server, "emo_restarts_failed_total") == 1


def test_sigterm_ends_all_workers_and_leaves_nothing_behind():
    with running_server("--workers", "2", "--drain-s", "300") as server:
        pids = [server.process.pid, *workers_of(server)]
        folder = folder_of(server)
        with live(server) as call:
            call.send(json.dumps(START))
            call.send('{"event": "mark"}')
            call.recv()
            for pid in pids:  # as systemd does
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: get(f"{server.url}readyz").status_code == 503)
            call.send('{"event": "stop"}')
            assert json.loads(call.recv())["final"]
        assert server.process.wait(300) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert not folder.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=300)


def test_workers_end_if_the_supervisor_is_killed():
    with running_server("--workers", "2") as server:
        workers, folder = workers_of(server), folder_of(server)
        server.process.kill()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        wait_until(lambda: not folder.exists())


def test_a_second_signal_ends_a_server_with_an_open_call():
    with running_server("--workers", "2", "--drain-s", "300") as server, live(server) as call:
        call.send(json.dumps(START))
        call.send('{"event": "mark"}')
        call.recv()
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: get(f"{server.url}readyz").status_code == 503)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(300) == -signal.SIGINT


def test_an_error_in_the_bundle_is_reported_once(tmp_path):
    done = run_python("-m", "emo_serving.cli", "--workers", "2", "--bundle", str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_https(tmp_path):
    certificate, key = write_certificate(tmp_path)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with running_server("--workers", "2", *options) as server:
        url = f"https://127.0.0.1:{server.port}/readyz"
        found = Counter(get(url, verify=False).status_code for _ in range(6))
        assert found == {200: 6}
