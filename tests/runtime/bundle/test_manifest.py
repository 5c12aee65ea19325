"""manifest.json: both schemas are read, and everything else is a BundleError with the reason."""

import copy
import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime import BundleError
from emo_runtime.bundle.front_ends import LogMelSettings, MeanMfccSettings
from emo_runtime.bundle.manifest import (
    MAX_MANIFEST_BYTES,
    File,
    Graph,
    Licence,
    Manifest,
    Task,
    Tokenizer,
    encode_manifest,
    json_schema,
)
from emo_runtime.bundle.manifest_reader import parse_manifest
from emo_runtime.bundle.manifest_v1 import AudioV1
from emo_runtime.text.preparation import RULES, TextPreparation

DIGEST = "0123456789abcdef" * 4


def document():
    """A manifest with everything in it, as plain JSON."""
    return {
        "schema": "emo-bundle/2",
        "name": "tiny",
        "version": "1.0",
        "licence": {"weights": "CC0-1.0", "notice": "Free."},
        "language": "es",
        "labels": ["anger", "joy"],
        "tasks": {
            "text": {"graph": "text", "temperature": 1.5},
            "fusion": {
                "graph": "fusion",
                "text_graph": "text",
                "audio_graph": "speech",
                "preparation": {"strip": True, "replace": ["urls"]},
            },
            "audio": {"graph": "fusion", "audio_graph": "speech"},
        },
        "graphs": {
            "text": {
                "kind": "text",
                "outputs": ["logits", "embedding"],
                "variants": {"int8": file("text.int8.onnx"), "fp32": file("text.fp32.onnx")},
                "tokenizer": "main",
                "pooling": "mean",
                "width": 8,
            },
            "speech": {
                "kind": "speech",
                "outputs": ["embedding"],
                "variants": {"fp32": file("speech.fp32.onnx")},
                "width": 5,
            },
            "fusion": {
                "kind": "fusion",
                "outputs": ["logits"],
                "variants": {"fp32": file("fusion.fp32.onnx")},
                "audio_width": 5,
                "text_width": 8,
                "present_input": True,
            },
        },
        "tokenizers": {"main": {**file("tokenizer.json"), "max_tokens": 64, "vocab_size": 100}},
        "golden": file("golden.json"),
        "card": file("CARD.md"),
        "verification": {"label_agreement": 0.99},
        "provenance": {},
        "audio": {"kind": "log_mel", "max_s": 30.0, "beyond_max": "windows"},
        "adaptation": {"mean": {**file("mean.f32"), "bytes": 20}, "weight": 3.0},
    }


def document_v1():
    """A manifest of the first schema."""
    changed = document()
    del changed["adaptation"], changed["graphs"]["speech"]
    changed["schema"] = "emo-bundle/1"
    changed["audio"] = {"n_mfcc": 56}
    changed["tasks"] = {
        "text": {"graph": "text", "temperature": 1.5},
        "fusion": {"graph": "fusion", "text_graph": "text", "strip": True},
        "audio": {"graph": "fusion"},
    }
    text, fusion = changed["graphs"]["text"], changed["graphs"]["fusion"]
    for field in ("kind", "pooling", "width"):
        del text[field]
    for field in ("kind", "audio_width", "text_width"):
        del fusion[field]
    text["hidden"] = fusion["hidden"] = 8
    return changed


def file(name):
    return {"file": name, "sha256": DIGEST, "bytes": 10}


def parse(changed):
    return parse_manifest(json.dumps(changed).encode())


def test_everything_is_read():
    manifest = parse(document())
    assert manifest.labels == ["anger", "joy"]
    assert manifest.audio == LogMelSettings(max_s=30.0, beyond_max="windows")
    assert manifest.tasks["fusion"] == Task(
        "fusion", "text", "speech", TextPreparation(strip=True, replace=("urls",))
    )
    assert manifest.graphs_of("fusion") == ("fusion", "text", "speech")
    assert manifest.graphs_of("text") == ("text",)
    assert [item.file for item in manifest.files()] == [
        "text.int8.onnx",
        "text.fp32.onnx",
        "speech.fp32.onnx",
        "fusion.fp32.onnx",
        "tokenizer.json",
        "mean.f32",
        "golden.json",
        "CARD.md",
    ]


def test_the_first_schema_is_upgraded():
    manifest = parse(document_v1())
    assert manifest.schema == "emo-bundle/2"
    assert manifest.audio == MeanMfccSettings(n_mfcc=56)
    assert manifest.tasks["text"] == Task("text", temperature=1.5)
    assert manifest.tasks["fusion"].preparation == TextPreparation(strip=True)
    assert manifest.graphs["text"].kind == "text"
    assert manifest.graphs["text"].width == 8
    fusion = manifest.graphs["fusion"]
    assert (fusion.kind, fusion.audio_width, fusion.text_width) == ("fusion", 56, 8)
    assert parse_manifest(encode_manifest(manifest)) == manifest


def test_the_first_schema_has_no_fields_of_the_second():
    changed = document_v1()
    changed["audio"]["max_s"] = 30.0
    with pytest.raises(BundleError, match="unknown field `max_s`"):
        parse(changed)
    changed = document_v1()
    changed["audio"]["center"] = False
    with pytest.raises(BundleError, match="center"):
        parse(changed)


def test_the_defaults_of_both_schemas_are_equal():
    old = msgspec.to_builtins(AudioV1())
    new = msgspec.to_builtins(MeanMfccSettings())
    assert {name: new[name] for name in old} == old


def test_canonical_bytes_are_read_back_the_same():
    manifest = parse(document())
    encoded = encode_manifest(manifest)
    assert parse_manifest(encoded) == manifest
    assert encode_manifest(parse_manifest(encoded)) == encoded


names = st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: name.split(".")[0] not in {"con", "prn", "aux", "nul", "manifest"}
)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
counts = st.integers(1, 1 << 24)


@st.composite
def manifests(draw):
    unique = draw(st.lists(names, min_size=5, max_size=5, unique=True))
    sizes = st.integers(0, (1 << 31) - 1)
    files = [File(file=name, sha256=draw(digests), bytes=draw(sizes)) for name in unique]
    text = Graph(
        kind="text",
        outputs=["logits", "embedding"],
        variants={draw(st.sampled_from(["int8", "fp16", "fp32"])): files[0]},
        tokenizer="main",
        width=draw(counts),
    )
    fusion = Graph(
        kind="fusion",
        outputs=["logits"],
        variants={"fp32": files[1]},
        audio_width=13,
        text_width=text.width,
    )
    temperature = draw(st.floats(0.01, 100))
    preparation = TextPreparation(
        strip=draw(st.booleans()),
        lowercase=draw(st.booleans()),
        replace=tuple(draw(st.lists(st.sampled_from(RULES), max_size=3))),
    )
    return Manifest(
        name=draw(st.text(max_size=20)),
        version=draw(st.text(max_size=20)),
        licence=Licence(weights=draw(st.text()), notice=draw(st.text())),
        language="es",
        labels=draw(st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=9, unique=True)),
        tasks={
            "text": Task(graph="text", temperature=temperature),
            "fusion": Task(graph="fusion", text_graph="text", preparation=preparation),
        },
        graphs={"text": text, "fusion": fusion},
        tokenizers={
            "main": Tokenizer(
                file=files[2].file,
                sha256=files[2].sha256,
                bytes=files[2].bytes,
                max_tokens=draw(counts),
                vocab_size=draw(counts),
            )
        },
        golden=files[3],
        card=files[4],
        verification=draw(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text())),
        provenance={},
        audio=MeanMfccSettings(n_mfcc=13),
    )


@settings(max_examples=60, deadline=None)
@given(manifests())
def test_any_manifest_comes_back_as_it_was_written(manifest):
    assert parse_manifest(encode_manifest(manifest)) == manifest


JUNK = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**30, "", "x", "../x", [], [1], {}, {"a": 1}, "é\0", "text"]
)


def places(value, path=()):
    """Paths to every value of a document."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from places(item, (*path, key))


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_change_is_read_or_refused_but_never_crashes(data):
    changed = data.draw(st.sampled_from([document, document_v1]))()
    path = data.draw(st.sampled_from([p for p in places(changed) if p]))
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[path[-1]] = data.draw(JUNK)
    else:
        del holder[path[-1]]
    try:
        parse(changed)
    except BundleError as error:
        assert str(error).startswith("manifest.json: ")  # noqa: PT017


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\0123456789eE.-tfn ', max_size=60))
def test_random_bytes_are_refused(data):
    with pytest.raises(BundleError, match=r"^manifest\.json: "):
        parse_manifest(data if isinstance(data, bytes) else data.encode())


def raw(before, after, source=document):
    plain = json.dumps(source())
    assert before in plain
    return plain.replace(before, after, 1).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "unknown schema None"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "at most 4,194,304"),
        (raw('"bytes": 10', '"bytes": NaN'), "NaN is not a JSON number"),
        (raw('"temperature": 1.5', '"temperature": Infinity'), "Infinity is not a JSON number"),
        (raw('"temperature": 1.5', '"temperature": 1e999'), "1e999 does not fit a float64"),
        (raw('["anger", "joy"]', '["anger", "\\ud800"]'), "surrogates not allowed"),
        (raw('"bytes": 10', '"bytes": 10, "bytes": 11'), "duplicate key 'bytes'"),
        (raw('"name": "tiny"', '"name": "a", "name": "tiny"'), "duplicate key 'name'"),
        (raw("emo-bundle/2", "emo-bundle/3"), "Update emo-runtime"),
        (raw("emo-bundle/2", "emo-bundle/999999999"), "Update emo-runtime"),
        (raw("emo-bundle/2", "emo-bundle/x"), "unknown schema"),
        (raw("emo-bundle/2", "other/1"), "not a bundle of this software"),
        (raw('"emo-bundle/2"', "1"), "unknown schema"),
        (raw('"language"', '"sprache"'), "unknown field `sprache`"),
        (raw("0123456789abcdef", "0123456789ABCDEF"), "sha256"),
        (raw('"bytes": 10', '"bytes": -1'), "bytes"),
        (raw('"bytes": 10', '"bytes": "10"'), "bytes"),
        (raw('["anger", "joy"]', '["anger"]'), "labels"),
        (raw('["anger", "joy"]', '["joy", "joy"]'), "duplicate label"),
        (raw('"int8"', '"int4"'), "int4"),
        (raw('"audio": {"graph"', '"video": {"graph"'), "video"),
        (raw('["urls"]', '["(a+)+$"]'), "Invalid enum value"),
        (raw('"log_mel"', '"mel_log"'), "mel_log"),
        (raw('"max_s": 30.0', '"n_fft": 401'), "n_fft 401 is odd"),
        (raw('"n_mfcc": 56', '"hop_length": 0', document_v1), "hop_length"),
        (raw('"n_mfcc": 56', '"n_mfcc": 129', document_v1), "n_mfcc 129 exceeds n_mels 128"),
        (raw('"n_mfcc": 56', '"fmax": 20000', document_v1), "0 to 20000 Hz is not a range"),
        (raw('"n_mfcc": 56', '"fmin": 11025.0', document_v1), "not a range"),
    ],
)
def test_what_is_refused_and_why(data, message):
    with pytest.raises(BundleError, match=message):
        parse_manifest(data)


@pytest.mark.parametrize(
    "name",
    [
        "../text.onnx",
        "/etc/passwd",
        "a/b.onnx",
        "a\\b.onnx",
        "C:text.onnx",
        "text\0.onnx",
        "text.onnx\n",
        ".",
        "..",
        ".hidden",
        "-rf",
        " text.onnx",
        "téxt.onnx",
        "te\u200bxt.onnx",
        "\uff54ext.onnx",
        "nul",
        "CON.onnx",
        "x" * 129,
        "",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name):
    changed = document()
    changed["card"]["file"] = name
    with pytest.raises(BundleError, match=r"not a plain file name|card"):
        parse(changed)


@pytest.mark.parametrize("name", ["golden.json", "GOLDEN.json", "Manifest.json", "text.FP32.onnx"])
def test_a_name_is_used_once(name):
    changed = document()
    changed["card"]["file"] = name
    with pytest.raises(BundleError, match="is used twice"):
        parse(changed)


def without(path):
    changed = copy.deepcopy(document())
    holder = changed
    *holders, last = path.split(".")
    for key in holders:
        holder = holder[key]
    del holder[last]
    return changed


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("graphs.text.tokenizer", "needs the field 'tokenizer'"),
        ("graphs.text.width", "'width' belongs to the output 'embedding'"),
        ("graphs.speech.width", "'width' belongs to the output 'embedding'"),
        ("graphs.fusion.text_width", "needs the field 'text_width'"),
        ("graphs.fusion.audio_width", "needs the field 'audio_width'"),
        ("graphs.fusion.present_input", "can't answer without text"),
        ("graphs.fusion", "graph 'fusion' does not exist"),
        ("graphs.speech", "audio graph 'speech' has no output 'embedding'"),
        ("tokenizers.main", "tokenizer 'main' does not exist"),
        ("tasks.fusion.text_graph", "text graph None has no output 'embedding'"),
        ("tasks.fusion.audio_graph", "needs an 'audio_graph', or the front end"),
        ("audio", "needs the front end 'audio'"),
        ("golden", "golden"),
        ("tasks.fusion.graph", "graph"),
        ("graphs.text.kind", "kind"),
    ],
)
def test_references_must_hold(path, message):
    with pytest.raises(BundleError, match=message):
        parse(without(path))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("graphs.text.outputs", ["embedding"], r"graphs\.text: outputs \['embedding'\] do not fit"),
        ("graphs.text.outputs", ["logits"], "'width' belongs"),
        ("graphs.text.outputs", ["logits", "logits", "embedding"], "listed twice"),
        ("graphs.text.kind", "encoder", "do not fit the kind 'encoder'"),
        ("graphs.text.audio_width", 5, "'audio_width' is not for graphs of kind 'text'"),
        ("graphs.text.width", 16, r"tasks\.fusion: text_width 8 .* differs from the width 16"),
        ("graphs.speech.width", 6, r"audio_width 5 .* differs from the width 6 of 'speech'"),
        ("graphs.speech.tokenizer", "main", "'tokenizer' is not for graphs of kind 'speech'"),
        ("graphs.fusion.kind", "speech", "is not for graphs of kind 'speech'"),
        ("graphs.fusion.outputs", ["logits", "embedding"], "has no output 'embedding'"),
        ("tasks.text.graph", "fusion", "is of kind 'fusion', not 'text'"),
        ("tasks.text.audio_graph", "speech", "it has no 'text_graph'"),
        ("tasks.audio.graph", "speech", "must have the output 'logits'"),
        ("tasks.audio.graph", "text", "is of kind 'text', not 'fusion'"),
        ("tasks.audio.preparation", {"strip": True}, "no 'preparation'"),
        ("tasks.audio.text_graph", "text", "it has no 'text_graph'"),
        ("adaptation.mean.bytes", 24, "the mean has 24 bytes, expected 4 for each of 5"),
        ("tasks", {"text": {"graph": "text"}}, "adaptation: it needs tasks with a fusion graph"),
    ],
)
def test_contradictions_are_refused(path, value, message):
    changed = document()
    *holders, last = path.split(".")
    holder = changed
    for key in holders:
        holder = holder[key]
    holder[last] = value
    with pytest.raises(BundleError, match=message):
        parse(changed)


def test_the_json_schema_names_every_field():
    schema = json_schema()
    described = schema["$defs"]["Manifest"]["properties"]
    assert set(described) == set(document())
    assert {"MeanMfccSettings", "LogMelSettings", "KaldiFbankSettings", "WaveformSettings"} <= set(
        schema["$defs"]
    )
