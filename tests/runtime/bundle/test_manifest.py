"""manifest.json: what is read, and that everything else ends in a BundleError that says why."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime import BundleError
from emo_runtime.bundle.manifest import (
    MAX_MANIFEST_BYTES,
    Audio,
    File,
    Graph,
    Licence,
    Manifest,
    Task,
    Tokenizer,
    encode_manifest,
    json_schema,
    parse_manifest,
)

DIGEST = "0123456789abcdef" * 4


def document():
    """A manifest with everything in it, as plain JSON."""
    return {
        "schema": "emo-bundle/1",
        "name": "tiny",
        "version": "1.0",
        "licence": {"weights": "CC0-1.0", "notice": "Free."},
        "language": "es",
        "labels": ["anger", "joy"],
        "tasks": {
            "text": {"graph": "text", "temperature": 1.5},
            "fusion": {"graph": "fusion", "text_graph": "text", "strip": True},
            "audio": {"graph": "fusion"},
        },
        "graphs": {
            "text": {
                "outputs": ["logits", "embedding"],
                "variants": {"int8": file("text.int8.onnx"), "fp32": file("text.fp32.onnx")},
                "tokenizer": "main",
                "hidden": 8,
            },
            "fusion": {
                "outputs": ["logits"],
                "variants": {"fp32": file("fusion.fp32.onnx")},
                "hidden": 8,
                "present_input": True,
            },
        },
        "tokenizers": {"main": {**file("tokenizer.json"), "max_tokens": 64, "vocab_size": 100}},
        "golden": file("golden.json"),
        "card": file("CARD.md"),
        "verification": {"label_agreement": 0.99},
        "provenance": {},
        "audio": {"n_mfcc": 56},
    }


def file(name):
    return {"file": name, "sha256": DIGEST, "bytes": 10}


def parse(changed):
    return parse_manifest(json.dumps(changed).encode())


def test_everything_is_read():
    manifest = parse(document())
    assert manifest.labels == ["anger", "joy"]
    assert manifest.audio == Audio(n_mfcc=56)
    assert manifest.tasks["fusion"] == Task(graph="fusion", text_graph="text", strip=True)
    assert [item.file for item in manifest.files()] == [
        "text.int8.onnx",
        "text.fp32.onnx",
        "fusion.fp32.onnx",
        "tokenizer.json",
        "golden.json",
        "CARD.md",
    ]


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
        outputs=["logits", "embedding"],
        variants={draw(st.sampled_from(["int8", "fp16", "fp32"])): files[0]},
        tokenizer="main",
        hidden=draw(counts),
    )
    fusion = Graph(outputs=["logits"], variants={"fp32": files[1]}, hidden=text.hidden)
    temperature = draw(st.floats(0.01, 100))
    return Manifest(
        schema="emo-bundle/1",
        name=draw(st.text(max_size=20)),
        version=draw(st.text(max_size=20)),
        licence=Licence(weights=draw(st.text()), notice=draw(st.text())),
        language="es",
        labels=draw(st.lists(st.text(min_size=1, max_size=9), min_size=2, max_size=9, unique=True)),
        tasks={
            "text": Task(graph="text", temperature=temperature),
            "fusion": Task(graph="fusion", text_graph="text", strip=draw(st.booleans())),
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
        audio=Audio(n_mfcc=13),
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
    changed = document()
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


def raw(before, after):
    return json.dumps(document()).replace(before, after, 1).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe{", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[]", "no schema that is known"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "more than the 4,194,304"),
        (raw('"bytes": 10', '"bytes": NaN'), "NaN is not a JSON number"),
        (raw('"temperature": 1.5', '"temperature": Infinity'), "Infinity is not a JSON number"),
        (raw('"temperature": 1.5', '"temperature": 1e999'), "1e999 is beyond every number"),
        (raw('["anger", "joy"]', '["anger", "\\ud800"]'), "surrogates not allowed"),
        (raw('"bytes": 10', '"bytes": 10, "bytes": 11'), "the key 'bytes' stands twice"),
        (raw('"name": "tiny"', '"name": "a", "name": "tiny"'), "the key 'name' stands twice"),
        (raw("emo-bundle/1", "emo-bundle/2"), "Update emo-runtime"),
        (raw("emo-bundle/1", "emo-bundle/999999999"), "Update emo-runtime"),
        (raw("emo-bundle/1", "emo-bundle/x"), "no schema that is known"),
        (raw("emo-bundle/1", "other/1"), "not a bundle of this software"),
        (raw('"emo-bundle/1"', "1"), "no schema that is known"),
        (raw('"language"', '"sprache"'), "unknown field `sprache`"),
        (raw("0123456789abcdef", "0123456789ABCDEF"), "sha256"),
        (raw('"bytes": 10', '"bytes": -1'), "bytes"),
        (raw('"bytes": 10', '"bytes": "10"'), "bytes"),
        (raw('["anger", "joy"]', '["anger"]'), "labels"),
        (raw('["anger", "joy"]', '["joy", "joy"]'), "a label stands twice"),
        (raw('"int8"', '"int4"'), "int4"),
        (raw('"audio": {"graph"', '"video": {"graph"'), "video"),
        (raw('"n_mfcc": 56', '"hop_length": 0'), "hop_length"),
        (raw('"n_mfcc": 56', '"n_mfcc": 129'), "n_mfcc 129 exceeds n_mels 128"),
        (raw('"n_mfcc": 56', '"fmax": 20000'), "0 to 20000 Hz is no range"),
        (raw('"n_mfcc": 56', '"fmin": 11025.0'), "no range"),
        (raw('"n_mfcc": 56', '"center": false'), "not centred"),
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
    with pytest.raises(BundleError, match=r"no plain file name|card"):
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
        ("graphs.text.tokenizer", "tokenizer"),
        ("graphs.text.hidden", "hidden"),
        ("graphs.fusion.hidden", "hidden"),
        ("graphs.fusion.present_input", "do without text"),
        ("graphs.fusion", "fusion"),
        ("tokenizers.main", "main"),
        ("tasks.fusion.text_graph", "text graph"),
        ("audio", "audio contract"),
        ("golden", "golden"),
        ("tasks.fusion.graph", "graph"),
    ],
)
def test_references_must_hold(path, message):
    with pytest.raises(BundleError, match=message):
        parse(without(path))


def test_a_task_needs_logits():
    changed = document()
    changed["graphs"]["text"]["outputs"] = ["embedding"]
    with pytest.raises(BundleError, match=r"tasks\.text.*gives no logits"):
        parse(changed)
    changed = document()
    changed["graphs"]["text"]["outputs"] = ["logits"]
    with pytest.raises(BundleError, match=r"tasks\.fusion.*no embedding"):
        parse(changed)


def test_the_sizes_of_the_two_branches_must_fit():
    changed = document()
    changed["graphs"]["text"]["hidden"] = 16
    with pytest.raises(BundleError, match=r"tasks\.fusion: its graphs differ in 'hidden'"):
        parse(changed)


def test_the_json_schema_names_every_field():
    schema = json_schema()
    described = schema["$defs"]["Manifest"]["properties"]
    assert set(described) == set(document())
