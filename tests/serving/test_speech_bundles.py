"""Bundles with a speech graph, and bundles without text, in the server, in batches and on Ray."""

import asyncio
import base64

import pytest
from pyarrow import Table, fs

from emo_runtime import EmoError, EmotionRecognizer, Utterance
from emo_serving.batch.worker import BatchWorker
from emo_serving.settings import Settings
from helpers.platform_calls import MULAW, b64, codes, packets
from helpers.sounds import as_file, speechlike

# Ray Serve's own, as it is imported.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Using extra keyword arguments on:DeprecationWarning"
)
TEXT = "no puedo más"
CLIP = as_file(speechlike(1.2, 16_000), 16_000)


@pytest.fixture(params=["with text", "sound alone"])
def bundle(request, tiny_bundle):
    """A bundle, and a transcript if it accepts one."""
    if request.param == "with text":
        return tiny_bundle(speech="log_mel", present_input=True), TEXT
    return tiny_bundle(speech="log_mel", audio_only=True), None


@pytest.fixture
def expected(bundle):
    """The answers to the clip, and to the live call."""
    path, text = bundle
    live = MULAW[list(codes(MULAW, 1.5))], 8_000
    with EmotionRecognizer.open(path) as recognizer:
        return recognizer.recognize(text, CLIP), recognizer.recognize(text, live)


def test_the_server(bundle, expected, start):
    path, text = bundle
    client = start(bundle=str(path))
    body = {"audio": base64.b64encode(CLIP).decode()} | ({} if text is None else {"text": text})
    reply = client.post("/v1/recognize", json=body)
    assert (reply.status_code, reply.json()["scores"]) == (200, expected[0].scores)
    assert reply.json()["task"] == ("audio" if text is None else "fusion")
    assert client.get("/v1/bundle").json()["graphs"]["speech"]["precision"] == "fp32"
    assert client.get("/readyz").status_code == 200
    inputs = [{"name": "audio", "shape": [1], "datatype": "BYTES", "data": [body["audio"]]}]
    if text is not None:
        inputs.append({"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]})
    found = client.post("/v2/models/tiny/infer", json={"inputs": inputs}).json()
    assert found["outputs"][1]["data"] == list(expected[0].scores.values())
    if text is None:
        refused = client.post("/v1/recognize", json={"text": TEXT})
        assert (refused.status_code, refused.json()["error"]["kind"]) == (422, "TaskError")


def test_a_live_call(bundle, expected, start):
    path, text = bundle
    client = start(bundle=str(path))
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    options = {"interval_ms": "100"} | ({} if text is None else {"text": text})
    with client.websocket_connect("/v1/stream") as socket:
        begin = {"mediaFormat": form, "customParameters": options}
        socket.send_json({"event": "start", "start": begin, "streamSid": "MZ1"})
        for packet in packets(codes(MULAW, 1.5), 160):
            socket.send_json({"event": "media", "media": {"payload": b64(packet)}})
        socket.send_json({"event": "stop"})
        event = socket.receive_json()
        while not event.get("final"):
            assert event["event"] == "emotion", event
            event = socket.receive_json()
    assert event["answer"]["scores"] == expected[1].scores


def test_a_batch_worker(bundle, expected):
    path, text = bundle
    worker = BatchWorker(str(path), None, {"self_test": False}, fs.LocalFileSystem())
    row = {"row": "a:1", "id": "7", "text": text, "audio": None, "sound": CLIP, "error": None}
    text_alone = row | {"row": "a:2", "text": TEXT, "sound": None}
    first, second = worker(Table.from_pylist([row, text_alone])).to_pylist()
    assert (first["id"], first["task"], first["error"]) == ("7", expected[0].task, None)
    assert first["scores"] == expected[0].scores
    assert (second["kind"] is None) == (text is not None)


def test_a_recognizer_of_the_pool_on_ray(bundle, expected):
    from emo_serving.on_ray.pool import PooledRecognizer

    path, text = bundle
    pooled = PooledRecognizer(Settings(bundle=str(path)))
    answer = asyncio.run(pooled.recognize(Utterance(text, CLIP)))
    assert not isinstance(answer, EmoError)
    assert answer.scores == expected[0].scores
