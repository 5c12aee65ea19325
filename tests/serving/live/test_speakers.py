"""Speaker adaptation in live calls: one profile for each speaker, for the length of a call."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from emo_runtime import EmotionRecognizer, TaskError
from emo_serving.app import create_app
from emo_serving.live.speakers import CallSpeakers
from emo_serving.settings import Settings
from helpers.platform_calls import MULAW, codes

TEXT = "hola estoy muy contenta con el resultado"


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return str(tiny_bundle(adaptation=2.0))


@pytest.fixture(scope="module")
def adapting(bundle):
    app = create_app(Settings(bundle=bundle, threads=1, allowed_hosts=("*",)))
    with TestClient(app, base_url="http://localhost") as session:
        yield session


@pytest.fixture(scope="module")
def local(bundle):
    with EmotionRecognizer.open(bundle, threads=1) as opened:
        yield opened


def answer(socket, seed, call_id="c1", **parameters):
    """Return the scores of an utterance, or its error."""
    body = {
        "callSid": call_id,
        "customParameters": {"text": TEXT, "interval_ms": 60000} | parameters,
    }
    socket.send_json({"event": "start", "start": body})
    socket.send_bytes(codes(MULAW, 0.8, seed=seed))
    socket.send_json({"event": "stop"})
    event = socket.receive_json()
    return event["answer"]["scores"] if event["event"] == "emotion" else event["error"]


def expected(local, seed, speaker=None):
    sound = MULAW[np.frombuffer(codes(MULAW, 0.8, seed=seed), np.uint8)], 8000
    return local.recognize(TEXT, sound, speaker=speaker).scores


def test_the_utterances_of_a_call_adapt_to_its_speaker(adapting, local):
    speaker = local.speaker()
    with adapting.websocket_connect("/v1/stream") as socket:
        found = [answer(socket, seed) for seed in range(3)]
    assert found == [expected(local, seed, speaker) for seed in range(3)]
    assert found[2] != expected(local, 2)


def test_another_call_and_another_connection_begin_anew(adapting, local):
    with adapting.websocket_connect("/v1/stream") as socket:
        answer(socket, 0)
        assert answer(socket, 1, "c2") == expected(local, 1)
    with adapting.websocket_connect("/v1/stream") as socket:
        assert answer(socket, 1, "c2") == expected(local, 1)


def test_named_speakers_have_their_own_profiles(adapting, local):
    agent, customer = local.speaker(), local.speaker()
    with adapting.websocket_connect("/v1/stream") as socket:
        for seed in range(4):
            name, profile = ("agent", agent) if seed % 2 else ("customer", customer)
            assert answer(socket, seed, speaker=name) == expected(local, seed, profile)
        assert answer(socket, 4, speaker="none") == expected(local, 4)


def test_the_number_of_speakers_is_limited(adapting):
    with adapting.websocket_connect("/v1/stream") as socket:
        for number in range(16):
            answer(socket, 0, speaker=f"s{number}")
        start = {"callSid": "c1", "customParameters": {"speaker": "s16"}}
        socket.send_json({"event": "start", "start": start})
        assert "at most 16" in socket.receive_json()["error"]["message"]


def test_a_bundle_that_does_not_adapt_answers_without_and_refuses_a_named_speaker(recognizer):
    speakers = CallSpeakers(recognizer)
    assert speakers.profile(None, "inbound") is None
    with pytest.raises(TaskError, match="do not adapt to speakers"):
        speakers.profile("agent", "inbound")
