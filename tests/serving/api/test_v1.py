"""The /v1 routes: answers equal the recognizer's; every refusal gives its reason."""

import base64

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.sounds import as_file, speechlike

TEXT = "¡Llevo tres semanas esperando una solución!"


def without_timings(answer):
    return {key: value for key, value in answer.items() if key != "timings"}


def expected(recognizer, text=None, audio=None, task=None):
    answer = recognizer.recognize(text, audio, task=task).to_dict()
    return without_timings(answer | {"notes": list(answer["notes"])})


@pytest.mark.parametrize(("text", "sound"), [(TEXT, True), (TEXT, False), (None, True)])
def test_json_is_answered_as_the_library_does(client, recognizer, clip, text, sound):
    body = {"text": text} if text else {}
    if sound:
        body["audio"] = base64.b64encode(clip).decode()
    reply = client.post("/v1/recognize", json=body)
    assert reply.status_code == 200
    assert without_timings(reply.json()) == expected(recognizer, text, clip if sound else None)
    assert reply.json()["timings"]["total_ms"] > 0


def test_a_form_is_answered_as_the_library_does(client, recognizer, clip):
    reply = client.post("/v1/recognize", data={"text": TEXT}, files={"audio": ("queja.flac", clip)})
    assert without_timings(reply.json()) == expected(recognizer, TEXT, clip)


def test_a_task_can_be_required(client, recognizer, clip):
    reply = client.post(
        "/v1/recognize", data={"text": TEXT, "task": "text"}, files={"audio": ("a", clip)}
    )
    assert without_timings(reply.json()) == expected(recognizer, TEXT, clip, "text")


def test_a_large_upload_stays_in_memory(client, recognizer, monkeypatch):
    def no_file(*arguments, **options):
        raise AssertionError("a file was made")

    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    sound = as_file(speechlike(40, 44_100), 44_100)
    assert len(sound) > 3 << 20
    reply = client.post("/v1/recognize", files={"audio": ("long.wav", sound)})
    assert without_timings(reply.json()) == expected(recognizer, None, sound)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "RequestError", 422),
        (b"{", "RequestError", 422),
        (b"[" * 100_000, "RequestError", 422),
        (b"{}", "TaskError", 422),
        (b'{"text": 7}', "RequestError", 422),
        (b'{"text": "\\ud800"}', "RequestError", 422),
        (b'{"text": "\xff"}', "RequestError", 422),
        (b'{"text": " "}', "TextError", 422),
        (b'{"text": "hola", "sound": ""}', "RequestError", 422),
        (b'{"audio": "%%%"}', "RequestError", 422),
        (b'{"audio": ""}', "AudioError", 422),
        (b'{"audio": "aG9sYQ=="}', "AudioError", 422),
        (b'{"text": "hola", "task": "sing"}', "RequestError", 422),
        (b'{"text": "hola", "task": "fusion"}', "AudioError", 422),
    ],
)
def test_errors_give_the_reason(client, body, kind, status):
    reply = client.post("/v1/recognize", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["kind"]) == (status, kind)
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
def test_other_bodies_are_refused(client, kind):
    reply = client.post("/v1/recognize", content=b"text=hola", headers={"content-type": kind})
    assert reply.status_code == 415


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"nothing", "multipart/form-data; boundary=b"),
        (b"--b\r\n\r\nhola\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (
            b'--b\r\nContent-Disposition: form-data; name="audio"\r\n\r\nhola\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
        ),
    ],
)
def test_malformed_forms(client, content, kind):
    reply = client.post("/v1/recognize", content=content, headers={"content-type": kind})
    assert reply.status_code == 422


def test_a_batch_is_answered_row_by_row(client, recognizer):
    texts = ["Qué alegría verte.", " ", TEXT]
    reply = client.post("/v1/recognize/batch", json={"utterances": [{"text": t} for t in texts]})
    first, blank, last = reply.json()["answers"]
    assert without_timings(first) == expected(recognizer, texts[0])
    assert blank["error"]["kind"] == "TextError"
    assert without_timings(last) == expected(recognizer, TEXT)


def test_the_bundle_is_described_without_the_servers_paths(client, recognizer):
    found = client.get("/v1/bundle").json()
    assert found["labels"] == list(recognizer.labels)
    assert found["bundle"]["name"] == recognizer.manifest.name
    assert found["graphs"]["text"]["providers"][0] == "CPUExecutionProvider"
    assert str(recognizer.describe()["bundle"]["path"]) not in str(found)


def test_probes_and_errors_of_the_router(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    assert client.get("/nothing").json()["error"]["kind"] == "NotFoundError"
    assert client.get("/v1/recognize").status_code == 405


def test_metrics_count_what_callers_asked(start):
    client = start()

    def sample(name, **labels):
        families = text_string_to_metric_families(client.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    assert sample("emo_answers_total") == 0  # the self-test and the warm-up are not counted
    client.post("/v1/recognize", json={"text": TEXT})
    client.post("/v1/recognize", json={"text": 3})
    assert sample("emo_answers_total", task="text") == 1
    assert sample("emo_http_requests_total", route="/v1/recognize", status="200") == 1
    assert sample("emo_http_requests_total", route="/v1/recognize", status="422") == 1
    assert sample("emo_calls") == 0
