"""The Open Inference Protocol, spoken by Triton's own client over a real connection."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_serving.api.open_inference import EXTENSIONS
from emo_serving.api.tensors import parse_inference
from emo_serving.errors import RequestError, TooLargeError

TEXTS = ["¡Esto es una vergüenza!", "Qué alegría verte."]


def test_plain_json(client, recognizer, clip):
    name = recognizer.manifest.name
    inputs = [
        {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [[TEXTS[0]], [TEXTS[1]]]},
        {
            "name": "audio",
            "shape": [2],
            "datatype": "BYTES",
            "data": [base64.b64encode(clip).decode(), ""],
        },
    ]
    reply = client.post(f"/v2/models/{name}/infer", json={"id": "7", "inputs": inputs})
    found = reply.json()
    assert (found["id"], found["model_name"]) == ("7", name)
    label, scores = found["outputs"]
    first = recognizer.recognize(TEXTS[0], clip)
    second = recognizer.recognize(TEXTS[1])
    assert label["data"] == [first.label, second.label]
    assert scores["shape"] == [2, 6]
    assert scores["data"] == [*first.scores.values(), *second.scores.values()]


def test_metadata_and_health(client, recognizer):
    manifest = recognizer.manifest
    assert client.get("/v2").json()["extensions"] == EXTENSIONS
    for path in ("health/live", "health/ready", f"models/{manifest.name}/ready"):
        assert client.get(f"/v2/{path}").status_code == 200
    found = client.get(f"/v2/models/{manifest.name}/versions/{manifest.version}").json()
    assert found["versions"] == [manifest.version]
    assert client.get("/v2/models/other").status_code == 404
    assert client.get(f"/v2/models/{manifest.name}/versions/99").status_code == 404


def test_a_bad_row_fails_the_request(client, recognizer):
    inputs = [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["hola", " "]}]
    reply = client.post(f"/v2/models/{recognizer.manifest.name}/infer", json={"inputs": inputs})
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("row 1: ")


def test_classification_is_for_scores_only():
    for output in ({"name": "label"}, {"name": "scores"}):
        count = 2 if output["name"] == "label" else -1
        outputs = [output | {"parameters": {"classification": count}}]
        body = json.dumps(json.loads(request_of()) | {"outputs": outputs}).encode()
        with pytest.raises(RequestError, match="classification"):
            parse_inference(body, None, 4)


def request_of(**changes):
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hola"]} | changes
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"inputs": []}',
        request_of(name="other"),
        request_of(datatype="FP32"),
        request_of(shape=[]),
        request_of(shape=[1, 2]),
        request_of(shape=[2]),
        request_of(shape=[0], data=[]),
        request_of(shape=[-1]),
        request_of(data=None),
        request_of(data="hola"),
        request_of(data=[7]),
        request_of(name="audio", data=["%"]),
        request_of(data=None, parameters={"binary_data_size": 4}),
        request_of(data=None, parameters={"binary_data_size": True}),
        request_of(parameters={"binary_data_size": 0}),
        json.dumps({"inputs": [{}]}).encode(),
        json.dumps(
            json.loads(request_of()) | {"outputs": [{"name": "nothing"}]},
        ).encode(),
    ],
)
def test_malformed_requests(body):
    with pytest.raises(RequestError):
        parse_inference(body, None, 4)


def test_too_many_rows():
    with pytest.raises(TooLargeError):
        parse_inference(request_of(shape=[5], data=["a"] * 5), None, 4)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4), st.binary(max_size=3))
def test_binary_tensors_are_taken_apart(texts, excess):
    elements = [text.encode("utf-8", "ignore") for text in texts]
    data = b"".join(struct.pack("<I", len(each)) + each for each in elements)
    head = request_of(shape=[len(texts)], data=None, parameters={"binary_data_size": len(data)})
    found = parse_inference(head + data, len(head), 4)
    assert [row.text for row in found.utterances] == [each.decode() or None for each in elements]
    if excess:
        with pytest.raises(RequestError):
            parse_inference(head + data + excess, len(head), 4)
        with pytest.raises(RequestError):
            parse_inference(head + data[: -len(excess)], len(head), 4)


def test_tritons_client_reads_the_best_labels_configuration_and_statistics(serving, recognizer):
    triton = pytest.importorskip("tritonclient.http")
    name = recognizer.manifest.name
    host, port = serving().address
    expected = [recognizer.recognize(text) for text in TEXTS]
    with triton.InferenceServerClient(f"{host}:{port}") as client:
        config = client.get_model_config(name)
        assert [tensor["name"] for tensor in config["input"]] == ["text", "audio"]
        assert config["output"][1] == {"name": "scores", "data_type": "TYPE_FP32", "dims": [6]}
        text = triton.InferInput("text", [2], "BYTES")
        text.set_data_from_numpy(np.array(TEXTS, dtype=object))
        for binary in (True, False):
            wanted = [triton.InferRequestedOutput("scores", binary_data=binary, class_count=3)]
            found = client.infer(name, [text], outputs=wanted).as_numpy("scores")
            assert found.shape == (2, 3)
            for row, answer in zip(found.tolist(), expected, strict=True):
                values = [value.decode() if isinstance(value, bytes) else value for value in row]
                best = sorted(answer.scores, key=answer.scores.get, reverse=True)[:3]
                assert [value.split(":")[2] for value in values] == best
                scores = [float(value.split(":")[0]) for value in values]
                assert scores == pytest.approx([answer.scores[each] for each in best], abs=1e-6)
                labels = [recognizer.labels[int(value.split(":")[1])] for value in values]
                assert labels == best
        text.set_data_from_numpy(np.array([" ", "hola"], dtype=object))
        with pytest.raises(triton.InferenceServerException, match="row 0"):
            client.infer(name, [text])
        [found] = client.get_inference_statistics(name)["model_stats"]
    assert (found["inference_count"], found["execution_count"]) == (4, 4)
    times = found["inference_stats"]
    assert (times["success"]["count"], times["fail"]["count"]) == (2, 1)
    assert times["success"]["ns"] >= times["compute_infer"]["ns"] > 0


def test_tritons_client(server, recognizer, clip):
    triton = pytest.importorskip("tritonclient.http")
    name = recognizer.manifest.name
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(name)
        assert client.get_server_metadata()["name"] == "emo-runtime"
        tensors = client.get_model_metadata(name)["inputs"]
        assert [tensor["name"] for tensor in tensors] == ["text", "audio"]
        expected = [recognizer.recognize(text, clip) for text in TEXTS]
        scores = np.array([list(answer.scores.values()) for answer in expected], np.float32)
        for binary in (True, False):
            text = triton.InferInput("text", [2], "BYTES")
            text.set_data_from_numpy(np.array(TEXTS, dtype=object), binary_data=binary)
            audio = triton.InferInput("audio", [2], "BYTES")
            audio.set_data_from_numpy(np.array([clip, clip], dtype=object), binary_data=True)
            wanted = [
                triton.InferRequestedOutput("scores", binary_data=binary),
                triton.InferRequestedOutput("label", binary_data=not binary),
            ]
            for outputs in (wanted, None):
                result = client.infer(name, [text, audio], outputs=outputs, request_id="9")
                assert result.get_response()["id"] == "9"
                labels = [
                    label.decode() if isinstance(label, bytes) else label
                    for label in result.as_numpy("label").tolist()
                ]
                assert labels == [answer.label for answer in expected]
                np.testing.assert_array_equal(result.as_numpy("scores"), scores)
        with pytest.raises(triton.InferenceServerException, match="no bundle of this name"):
            client.get_model_metadata("other")
