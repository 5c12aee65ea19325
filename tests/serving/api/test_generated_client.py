"""A client generated from the OpenAPI document by openapi-python-client parses every answer."""

import importlib
import io
import json
import re
import sys

import attrs
import httpx2
import pytest

from helpers.servers import running_server

TEXT = "¡Esto es una vergüenza!"
VTT = b"WEBVTT\n\n00:00.000 --> 00:01.000\nhola\n"


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("s3creto", encoding="ascii")
    with running_server("--threads", "1", "--token-file", str(token)) as server:
        yield server


@pytest.fixture(scope="module")
def generated(secured, tmp_path_factory):
    """The generated package."""
    openapi = pytest.importorskip("openapi_python_client")
    from openapi_python_client.config import Config, ConfigFile, MetaType

    folder = tmp_path_factory.mktemp("generated")
    source = folder / "openapi.json"
    source.write_bytes(httpx2.get(f"{secured.url}openapi.json", headers=headers()).content)
    config = Config.from_sources(
        ConfigFile(post_hooks=[]),
        MetaType.NONE,
        document_source=source,
        file_encoding="utf-8",
        overwrite=False,
        output_path=folder / "emo_generated",
    )
    problems = openapi.generate(config=config)
    assert [f"{each.header} {each.detail}" for each in problems] == []
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"emo_generated.{name}")
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each.partition(".")[0] == "emo_generated"]:
        del sys.modules[name]


def headers(secret="s3creto"):
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture
def call(generated, secured):
    """``call(module, **arguments)``: the response of an operation."""

    def ask(module, token="s3creto", **arguments):
        operation = generated(f"api.{module}")
        client = generated("client").AuthenticatedClient(secured.url.rstrip("/"), token)
        with client as opened:
            return operation.sync_detailed(client=opened, **arguments)

    return ask


def check(response, kind, status=200):
    """The parsed object is of this type, and has everything that the JSON has."""
    assert response.status_code == status
    assert type(response.parsed).__name__ == kind
    assert_known(response.parsed)
    assert response.parsed.to_dict() == json.loads(response.content)
    return response.parsed


def assert_known(parsed):
    """The document describes all fields: there are no additional ones."""
    for name, value in attrs.asdict(parsed, recurse=False).items():
        if name == "additional_properties" and type(parsed).__name__ not in FREE:
            assert value == {}, type(parsed).__name__
        for each in value if isinstance(value, list) else [value]:
            if hasattr(each, "to_dict"):
                assert_known(each)


# Objects with keys of their own.
FREE = {"AnswerScores", *(f"Description{part}" for part in ("Bundle", "Graphs", "Limits"))}
FREE |= {"DescriptionGraphsAdditionalProperty", "DescriptionThreads", "DescriptionVersions"}


def test_answers(generated, call, clip, recognizer):
    models = generated("models")
    body = models.UtteranceBody(text=TEXT)
    answer = check(call("recognize.recognize", body=body), "Answer")
    assert answer.scores.to_dict() == recognizer.recognize(TEXT).scores
    file = generated("types").File(payload=clip_file(clip), file_name="a.flac")
    form = models.RecognizeFilesBody(text=TEXT, audio=file)
    answer = check(call("recognize.recognize", body=form), "Answer")
    assert answer.scores.to_dict() == recognizer.recognize(TEXT, clip).scores
    rows = [models.UtteranceRow(text=TEXT), models.UtteranceRow()]
    batch = check(
        call("recognize.recognize_batch", body=models.BatchBody(utterances=rows)), "BatchAnswer"
    )
    assert [type(each).__name__ for each in batch.answers] == ["Answer", "ErrorBody"]
    transcript = generated("types").File(payload=clip_file(VTT), file_name="a.vtt")
    file = generated("types").File(payload=clip_file(clip), file_name="a.flac")
    form = models.TimelineBody(audio=file, transcript=[transcript])
    timeline = check(call("recognize.timeline", body=form), "Timeline")
    assert type(timeline.moments[0].answer).__name__ == "Answer"
    check(call("recognize.bundle"), "Description")


def clip_file(content):
    return io.BytesIO(content)


def test_probes_and_models(generated, call, recognizer):
    models, name = generated("models"), recognizer.manifest.name
    check(call("health.healthz"), "Status")
    check(call("health.readyz"), "Status")
    assert "emo_streams" in call("health.metrics").parsed
    check(call("open_inference_protocol.server_live"), "Live")
    check(call("open_inference_protocol.server_ready"), "Ready")
    check(call("open_inference_protocol.server_metadata"), "ServerMetadata")
    for operation, kind in (
        ("model_metadata", "ModelMetadata"),
        ("model_config", "ModelConfig"),
        ("model_ready", "ModelReady"),
        ("model_statistics", "StatisticsResponse"),
    ):
        check(call(f"open_inference_protocol.{operation}", name=name), kind)
    check(call("open_inference_protocol.statistics_of_all"), "StatisticsResponse")
    body = models.InferenceRequest.from_dict(
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}]}
    )
    found = call("open_inference_protocol.model_infer", name=name, body=body)
    check(found, "InferenceResponse")
    found = call("open_inference_protocol.repository_index", body=models.IndexRequest())
    assert [type(each).__name__ for each in found.parsed] == ["ModelState"]
    assert [each.to_dict() for each in found.parsed] == json.loads(found.content)


def test_errors(generated, call):
    models = generated("models")
    body = models.UtteranceBody(text=TEXT)
    check(call("recognize.recognize", body=body, token="wrong"), "ErrorBody", 401)
    check(call("recognize.recognize", body=models.UtteranceBody()), "ErrorBody", 422)
    check(call("recognize.recognize", body=body, bundle="x"), "ErrorBody", 404)
    long = models.UtteranceBody(text="a" * 30_000)
    check(call("recognize.recognize", body=long), "ErrorBody", 413)
    check(call("live_calls.call_events", call="none"), "ErrorBody", 404)
    transcript = models.TranscriptBody(text=TEXT)
    check(call("live_calls.call_transcript", call="none", body=transcript), "ErrorBody", 404)
    operation = "open_inference_protocol.model_metadata"
    check(call(operation, name="x"), "InferenceError", 404)
    for operation in ("model_load", "model_unload"):
        found = call(f"open_inference_protocol.{operation}", name="x", body=models.LoadRequest())
        check(found, "InferenceError", 403)


def test_the_security_scheme_is_the_bearer_token(secured):
    document = httpx2.get(f"{secured.url}openapi.json", headers=headers()).json()
    assert document["components"]["securitySchemes"]["token"] == {
        "type": "http",
        "scheme": "bearer",
    }
    names = [name for name in document["components"]["schemas"] if re.search(r"\d$", name)]
    assert names == [], "two types of one name"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == (operation.get("security") != []), path
