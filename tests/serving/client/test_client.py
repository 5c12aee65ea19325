"""Both clients against a real server: answers, errors, retries, lost connections."""

import asyncio
import inspect
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emo_runtime import ArgumentError, EmotionRecognizer, Utterance
from emo_serving.client import (
    AsyncClient,
    AsyncLiveCall,
    Client,
    ConnectionFailedError,
    LiveCall,
    ServerError,
    protocol,
)
from emo_serving.settings import BundleSource
from emo_serving.tokens import Token
from helpers.corpora import CLIPS, SMALL_BUNDLE
from helpers.cutting_proxy import cutting_proxy
from helpers.platform_calls import MULAW, codes, packets
from helpers.processes import wait_until
from helpers.tiny import Tiny, write_bundle

TEXT = "¡Llevo tres semanas esperando una solución!"
CLIP = CLIPS / "queja.flac"


class InLoop:
    """An asynchronous object with blocking methods, so that both clients have the same tests."""

    def __init__(self, runner, inner):
        self._runner, self._inner = runner, inner

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*arguments, **options):
            found = method(*arguments, **options)
            if inspect.iscoroutine(found):
                return self._runner.run(found)
            if inspect.isasyncgen(found):
                return self._runner.run(_listed(found))
            return InLoop(self._runner, found) if isinstance(found, AsyncLiveCall) else found

        return call

    def __enter__(self):
        self._runner.run(self._inner.__aenter__())
        return self

    def __exit__(self, *error):
        self._runner.run(self._inner.__aexit__(*error))


async def _listed(events):
    return [event async for event in events]


@pytest.fixture(params=["sync", "async"])
def connect(request):
    """``connect(url, **options)``: an open client."""
    opened = []
    runner = asyncio.Runner()

    def enter(url, **options):
        if request.param == "sync":
            client = Client(url, **options)
        else:
            client = InLoop(runner, _made(runner, url, options))
        client.__enter__()
        opened.append(client)
        return client

    yield enter
    for client in opened:
        client.__exit__(None, None, None)
    runner.close()


def _made(runner, url, options):
    async def make():
        return AsyncClient(url, **options)

    return runner.run(make())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(protocol, "_FIRST_WAIT_S", 0.01)


def test_answers_equal_the_librarys(server, recognizer, connect):
    client = connect(server.url)
    for audio in (str(CLIP), CLIP, CLIP.read_bytes()):
        found = client.recognize(TEXT, audio)
        assert found.scores == recognizer.recognize(TEXT, CLIP).scores
        assert (found.task, found.notes) == ("fusion", recognizer.recognize(TEXT, CLIP).notes)
    assert client.recognize(TEXT).scores == recognizer.recognize(TEXT).scores
    assert client.recognize(None, CLIP, task="audio").task == "audio"
    rows = [Utterance(TEXT, CLIP), Utterance(" "), Utterance(TEXT, task="text")]
    first, second, third = client.recognize_batch(rows)
    assert first.scores == recognizer.recognize(TEXT, CLIP).scores
    assert (second.kind, third.task) == ("TextError", "text")
    assert client.describe()["labels"] == list(recognizer.labels)


def test_errors_of_the_server(server, connect):
    client = connect(server.url)
    with pytest.raises(ServerError, match="the transcript is empty") as caught:
        client.recognize(" ")
    assert (caught.value.kind, caught.value.status) == ("TextError", 422)
    with pytest.raises(ServerError) as caught:
        client.set_transcript("no/such call", TEXT)
    assert caught.value.status == 404
    with pytest.raises(ServerError):
        list(client.call_events("nothing"))


def test_the_token(serving, connect):
    running = serving(tokens=(Token("s3creto"),))
    assert connect(running.url, token="s3creto").recognize(TEXT).task == "text"
    for wrong in (None, "x"):
        client = connect(running.url, token=wrong)
        with pytest.raises(ServerError) as caught:
            client.recognize(TEXT)
        assert caught.value.status == 401
        with pytest.raises(ServerError) as caught, client.live_call(sample_rate=8000):
            pass
        assert caught.value.status == 401


def test_a_refused_request_is_sent_again(held, serving, connect):
    running = serving(held.open, max_waiting=0)
    client = connect(running.url)
    held.go.clear()
    with ThreadPoolExecutor(2) as pool, Client(running.url) as other:
        first = pool.submit(other.recognize, TEXT)
        wait_until(lambda: running.service.admission.calls == 1)
        refused = running.service.admission.refused

        def release():
            wait_until(lambda: refused["calls"] > 0)
            held.go.set()

        released = pool.submit(release)
        assert client.recognize(TEXT).label == first.result().label
        released.result()
    assert refused["calls"]


def test_no_server(connect):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    client = connect(url)
    with pytest.raises(ConnectionFailedError):
        client.recognize(TEXT)
    with pytest.raises(ConnectionFailedError):
        list(client.call_events("c1"))
    with pytest.raises(ConnectionFailedError), client.live_call(sample_rate=8000):
        pass
    with pytest.raises(ArgumentError):
        connect("localhost:8000")


def expected(recognizer, sound, text=None):
    return recognizer.recognize(text, (MULAW[np.frombuffer(sound, np.uint8)], 8000)).scores


def test_a_live_call_of_two_utterances(server, recognizer, connect):
    client = connect(server.url)
    with client.live_call(sample_rate=8000, encoding="mulaw") as call:
        for seed in range(2):
            sound = codes(MULAW, 1.0, seed=seed)
            for packet in packets(sound, 160):
                call.feed(packet)
            assert call.partial().task == "audio"
            call.set_text(TEXT)
            assert call.finish().scores == expected(recognizer, sound, TEXT)
        with pytest.raises(ServerError):
            call.finish()
        call.set_text(TEXT)
        assert call.finish().scores == recognizer.recognize(TEXT).scores


def test_a_lost_connection_of_a_live_call_changes_no_answer(serving, recognizer, connect):
    sound = codes(MULAW, 1.5)
    with cutting_proxy(serving().address) as proxy:
        client = connect(proxy.url)
        with client.live_call(sample_rate=8000, encoding="mulaw") as call:
            call.set_text(TEXT)
            for number, packet in enumerate(packets(sound, 160)):
                if number % 25 == 20:
                    proxy.cut()
                call.feed(packet)
            assert call.partial().task == "fusion"
            proxy.cut()
            assert call.finish().scores == expected(recognizer, sound, TEXT)
        assert proxy.accepted >= 3


def test_events_of_a_call_come_once_although_the_connection_is_lost(serving, recognizer, connect):
    running = serving()
    with (
        ThreadPoolExecutor(1) as pool,
        Client(running.url) as application,
        cutting_proxy(running.address) as proxy,
        application.live_call(sample_rate=8000, encoding="mulaw", call_id="c1") as call,
    ):
        call.set_text(TEXT)
        call.partial()
        listener = connect(proxy.url)
        listening = pool.submit(lambda: list(listener.call_events("c1")))
        first = call.finish()
        for cuts in range(2):
            wait_until(lambda cuts=cuts: proxy.accepted > cuts)
            time.sleep(0.3)  # usually enough for the events; the answers must not depend on it
            proxy.cut()
        call.set_text("hola")
        second = call.finish()
        call.__exit__(None, None, None)
        finals = [event.answer.scores for event in listening.result(300) if event.final]
    assert finals == [first.scores, second.scores]
    assert finals[0] == recognizer.recognize(TEXT).scores


def test_both_clients_have_the_same_methods():
    for sync, other in ((Client, AsyncClient), (LiveCall, AsyncLiveCall)):
        names = {name for name in vars(sync) if not name.startswith("_")} - {"close"}
        assert names == {name for name in vars(other) if not name.startswith("_")} - {"aclose"}
        for name in names:
            own, theirs = (inspect.signature(getattr(kind, name)) for kind in (sync, other))
            assert own.parameters.keys() == theirs.parameters.keys()


def test_the_bundle_is_chosen(connect, serving, tmp_path):
    write_bundle(tmp_path / "tiny", Tiny())
    sources = (BundleSource(str(SMALL_BUNDLE), "small"), BundleSource(str(tmp_path / "tiny")))
    client = connect(serving(bundles=sources).url)
    with EmotionRecognizer.open(tmp_path / "tiny", self_test=False) as tiny:
        expected = tiny.recognize("hola").scores
    assert client.recognize("hola", bundle="tiny").scores == expected
    assert client.recognize_batch([Utterance("hola")], bundle="tiny")[0].scores == expected
    assert client.describe()["bundles"] == ["small", "tiny"]
    assert client.describe("tiny")["bundle"]["name"] == "tiny"
    with pytest.raises(ServerError, match="small, tiny") as caught:
        client.recognize("hola", bundle="ñ&")
    assert (caught.value.kind, caught.value.status) == ("UnknownBundleError", 404)
