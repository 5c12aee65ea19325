"""Several bundles in one server: chosen by name, loaded, unloaded, replaced while in use."""

import asyncio
import gc
import http.client
import json
import shutil
import weakref

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry

from emo_runtime import ArgumentError, BundleError, EmotionRecognizer
from emo_serving.cli import main
from emo_serving.errors import ControlError, UnknownBundleError
from emo_serving.models import Models
from emo_serving.service import open_recognizer
from emo_serving.settings import BundleSource, Settings
from emo_serving.tokens import Token
from helpers.processes import wait_until
from helpers.tiny import Tiny, write_bundle

TEXT = "hola estoy muy contenta con el resultado"
VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhola\n"
TOKENS = (Token("one", "one", model_control=True), Token("two", "two"))
ONE, TWO = ({"authorization": f"Bearer {secret}"} for secret in ("one", "two"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Bundles a, b and c, whose answers differ."""
    made = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate("abc"):
        write_bundle(made / name, Tiny(seed=seed))
    return made


@pytest.fixture(scope="module")
def expected(folder):
    found = {}
    for name in "abc":
        with EmotionRecognizer.open(folder / name, self_test=False) as recognizer:
            found[name] = recognizer.recognize(TEXT).scores
    assert len({tuple(each.values()) for each in found.values()}) == 3
    return found


def sources(folder, *names):
    return tuple(BundleSource(str(folder / name), name) for name in names)


def replace_bundle(at, seed, tmp_path):
    """Replace a bundle as an operator does: write another one, then exchange the directories."""
    new = write_bundle(tmp_path / f"new{seed}", Tiny(seed=seed))
    at.rename(tmp_path / f"old{seed}")
    new.rename(at)


def open_models(settings):
    def opened(source, on_answer, self_test):
        return open_recognizer(settings, source, on_answer, self_test=self_test)

    return Models(settings, opened, lambda _: lambda _: None, CollectorRegistry())


def test_requests_choose_a_bundle(start, folder, expected, clip):
    client = start(bundles=sources(folder, "a", "b"))
    found = {
        "default": client.post("/v1/recognize", json={"text": TEXT}),
        "json": client.post("/v1/recognize", json={"text": TEXT, "bundle": "b"}),
        "query": client.post("/v1/recognize?bundle=b", json={"text": TEXT}),
        "form": client.post("/v1/recognize", files={"text": (None, TEXT), "bundle": (None, "b")}),
    }
    scores = {name: reply.json()["scores"] for name, reply in found.items()}
    assert scores.pop("default") == expected["a"]
    assert all(each == expected["b"] for each in scores.values())
    batch = {"utterances": [{"text": TEXT}], "bundle": "b"}
    [row] = client.post("/v1/recognize/batch", json=batch).json()["answers"]
    assert row["scores"] == expected["b"]
    files = [("audio", clip), ("transcript", ("a.vtt", VTT)), ("bundle", (None, "b"))]
    [moment] = client.post("/v1/timeline", files=files).json()["moments"]
    with EmotionRecognizer.open(folder / "b") as recognizer:
        assert moment["answer"]["scores"] == recognizer.recognize("hola", _second(clip)).scores
    for name in "ab":
        described = client.get("/v1/bundle", params={"bundle": name}).json()
        assert (described["name"], described["bundles"]) == (name, ["a", "b"])
    metrics = client.get("/metrics").text
    assert 'emo_answers_total{bundle="a"' in metrics
    assert 'emo_answers_total{bundle="b"' in metrics


def _second(clip):
    import io

    import soundfile

    samples, rate = soundfile.read(io.BytesIO(clip), dtype="float32", frames=44_100)
    return samples[: round(rate)], rate


def test_unknown_bundles_are_refused_with_the_names(start, folder, clip):
    client = start(bundles=sources(folder, "a", "b"))
    replies = [
        client.post("/v1/recognize", json={"text": TEXT, "bundle": "private name"}),
        client.post("/v1/recognize/batch?bundle=x", json={"utterances": []}),
        client.get("/v1/bundle?bundle=x"),
        client.post("/v1/timeline?bundle=x", files=[("audio", clip), ("transcript", VTT)]),
    ]
    for reply in replies:
        assert reply.status_code == 404
        error = reply.json()["error"]
        assert error["kind"] == "UnknownBundleError"
        assert "a, b" in error["message"]
        assert "private" not in error["message"]
    assert client.get("/v2/models/x").status_code == 404
    conflict = client.post("/v1/recognize?bundle=a", json={"text": TEXT, "bundle": "b"})
    assert conflict.status_code == 422


def test_a_live_call_chooses_a_bundle(start, folder, expected):
    client = start(bundles=sources(folder, "a", "b"))
    parameters = {"text": TEXT}
    for path, bundle, name in (("", None, "a"), ("?bundle=b", None, "b"), ("?bundle=b", "a", "a")):
        with client.websocket_connect(f"/v1/stream{path}") as call:
            given = parameters | ({"bundle": bundle} if bundle else {})
            call.send_json({"event": "start", "start": {"customParameters": given}})
            call.send_json({"event": "stop"})
            assert call.receive_json()["answer"]["scores"] == expected[name]
            given = parameters | {"bundle": "x"}
            call.send_json({"event": "start", "start": {"customParameters": given}})
            assert call.receive_json()["error"]["kind"] == "UnknownBundleError"
            given = parameters | {"bundle": "b"}
            call.send_json({"event": "start", "start": {"customParameters": given}})
            call.send_json({"event": "stop"})
            assert call.receive_json()["answer"]["scores"] == expected["b"]


def test_bundles_are_loaded_and_unloaded(start, folder, expected):
    client = start(
        bundles=sources(folder, "a", "b"),
        tokens=TOKENS,
        model_control=True,
        bundle_folder=folder,
    )
    client.headers.update(ONE)
    recognizer = weakref.ref(client.app.service.models.get("b").recognizer)

    def states(**body):
        found = client.post("/v2/repository/index", json=body).json()
        return {each["name"]: each["state"] for each in found}

    def ask(name):
        return client.post("/v1/recognize", json={"text": TEXT, "bundle": name})

    assert states() == {"a": "READY", "b": "READY", "c": "UNAVAILABLE"}
    assert states(ready=True) == {"a": "READY", "b": "READY"}
    assert client.post("/v2/repository/models/b/unload").status_code == 200
    gc.collect()
    assert recognizer() is None, "the memory of an unloaded bundle is released"
    assert ask("b").status_code == 404
    for name in "bc":
        assert client.post(f"/v2/repository/models/{name}/load", json={}).status_code == 200
        assert ask(name).json()["scores"] == expected[name]
    assert states() == dict.fromkeys("abc", "READY")
    for path, status in (("a/unload", 403), ("x/load", 404), ("..%2fa/load", 404)):
        assert client.post(f"/v2/repository/models/{path}").status_code == status
    config = {"parameters": {"config": "{}"}}
    assert client.post("/v2/repository/models/b/load", json=config).status_code == 422
    for path in ("load", "unload"):
        refused = client.post(f"/v2/repository/models/b/{path}", headers=TWO)
        assert refused.status_code == 403
        assert "token" in refused.json()["error"]
    assert 'emo_bundle_loads_total{bundle="b",result="unloaded"} 1.0' in client.get("/metrics").text


def test_loading_is_switched_off_by_default(start, folder):
    client = start(bundles=sources(folder, "a", "b"), tokens=TOKENS)
    refused = client.post("/v2/repository/models/b/unload", headers=ONE)
    assert refused.status_code == 403
    assert "--model-control" in refused.json()["error"]
    assert client.post("/v2/repository/index", headers=TWO).status_code == 200


def test_a_replaced_bundle_takes_over_and_live_calls_end_on_the_old_one(
    start, tmp_path, expected, folder, capfd
):
    at = tmp_path / "served"
    shutil.copytree(folder / "a", at)
    client = start(bundles=(BundleSource(str(at), "a"),), tokens=TOKENS, model_control=True)
    client.headers.update(ONE)
    old = weakref.ref(client.app.service.models.get().recognizer)

    def ask():
        return client.post("/v1/recognize", json={"text": TEXT}).json()["scores"]

    with client.websocket_connect("/v1/stream") as call:
        start_event = {"event": "start", "start": {"customParameters": {"text": TEXT}}}
        call.send_json(start_event)
        call.send_json({"event": "mark"})
        assert call.receive_json()["answer"]["scores"] == expected["a"]
        replace_bundle(at, 1, tmp_path)
        assert client.post("/v2/repository/models/a/load").status_code == 200
        assert ask() == expected["b"]
        assert old() is not None
        call.send_json({"event": "stop"})
        assert call.receive_json()["answer"]["scores"] == expected["a"]
    with client.websocket_connect("/v1/stream") as call:
        call.send_json(start_event)
        call.send_json({"event": "stop"})
        assert call.receive_json()["answer"]["scores"] == expected["b"]
    gc.collect()
    assert old() is None
    graph = at / "text.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    failed = client.post("/v2/repository/models/a/load")
    assert failed.status_code == 422
    assert ask() == expected["b"]
    [state] = client.post("/v2/repository/index").json()
    assert (state["state"], "sha256" in state["reason"]) == ("READY", True)
    metrics = client.get("/metrics").text
    assert 'emo_bundle_loads_total{bundle="a",result="failed"} 1.0' in metrics
    log = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line[:1] == "{"]
    assert [each["event"] for each in log if "bundle" in each["event"]] == [
        "bundle_loaded",
        "bundle_failed",
    ]


def test_a_request_that_is_arriving_is_answered_by_the_new_bundle(
    serving, tmp_path, folder, expected
):
    at = tmp_path / "served"
    shutil.copytree(folder / "a", at)
    running = serving(bundles=(BundleSource(str(at), "a"),), tokens=TOKENS, model_control=True)
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    body = json.dumps({"inputs": [tensor]}).encode()

    first, second = (http.client.HTTPConnection(*running.address, timeout=300) for _ in range(2))
    first.putrequest("POST", "/v2/models/a/infer")
    for name, value in ONE.items() | {("Content-Length", str(len(body)))}:
        first.putheader(name, value)
    first.endheaders(body[:9])
    wait_until(lambda: running.service.admission.buffered_bytes > 0)
    replace_bundle(at, 1, tmp_path)
    second.request("POST", "/v2/repository/models/a/load", headers=ONE)
    assert second.getresponse().read() == b"{}"
    first.send(body[9:])
    reply = json.loads(first.getresponse().read())
    assert reply["outputs"][1]["data"] == list(expected["b"].values())
    first.close()
    second.close()


def test_changed_files_are_noticed_once_they_are_complete(tmp_path, folder, expected):
    at = tmp_path / "served"
    shutil.copytree(folder / "a", at)
    models = open_models(Settings(bundles=(BundleSource(str(at), "a"),), threads=1))

    def scores():
        return models.get().recognizer.recognize(TEXT).scores

    async def check():
        first = models.get()
        await models.reload_changed()
        assert models.get() is first
        replace_bundle(at, 1, tmp_path)
        await models.reload_changed()
        assert models.get() is first, "the files may still be changing"
        await models.reload_changed()
        assert scores() == expected["b"]
        second = models.get()
        golden = at / "golden.json"
        complete = golden.read_bytes()
        golden.write_bytes(complete[:-9])
        for _ in range(4):
            await models.reload_changed()
        assert models.get() is second
        assert models._loads.labels("a", "failed")._value.get() == 1, "it is tried once"
        golden.write_bytes(complete)
        await models.reload_changed(at_once=True)
        assert models.get() is not second
        assert scores() == expected["b"]
        golden.unlink()
        with pytest.raises(BundleError):
            await models.load("a")
        assert scores() == expected["b"]

    asyncio.run(check())
    models.close()


def test_an_unexpected_error_does_not_end_the_checks(serving, folder, caplog):
    running = serving(bundles=sources(folder, "a"), reload_s=0.05)
    checks = []

    async def reload_changed():
        checks.append(len(checks))
        raise MemoryError

    running.service.models.reload_changed = reload_changed
    wait_until(lambda: len(checks) >= 3)
    assert "MemoryError in reload" in caplog.text


def test_names(folder):
    def opened(*given):
        return open_models(Settings(bundles=given, threads=1))

    own = opened(BundleSource(str(folder / "a")), BundleSource(str(folder / "b"), "b"))
    assert [model.name for model in own.loaded()] == ["tiny", "b"]
    with pytest.raises(UnknownBundleError, match="tiny, b"):
        own.get("c")
    with pytest.raises(ControlError):
        asyncio.run(own.unload("tiny"))
    own.close()
    with pytest.raises(ArgumentError, match="'tiny'"):
        opened(BundleSource(str(folder / "a")), BundleSource(str(folder / "b")))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--bundle", "a b=emo-es"], "a name has letters"),
        (["--bundle", "a="], "a name has letters"),
        (["--model-control"], "needs a token"),
        (["--bundle-folder", "."], "--model-control only"),
        (["--model-control", "--workers", "2"], "--workers"),
        (["--ray", "--bundle", "a=emo-es"], "one bundle"),
        (["--ray", "--reload-s", "1"], "--ray"),
    ],
)
def test_wrong_options(options, reason):
    refused = CliRunner().invoke(main, options)
    assert refused.exit_code == 2
    assert reason in refused.stderr
