"""Malicious bundles: each is refused with a BundleError."""

import errno
import json
import os
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emo_runtime import BundleError, EmotionRecognizer
from emo_runtime.bundle import reader as bundle_module
from emo_runtime.bundle.manifest import MAX_FILE_BYTES
from emo_runtime.bundle.onnx_check import MAX_FIELDS, check_graph
from emo_runtime.bundle.reader import MAX_SMALL_BYTES, open_bundle
from helpers.mutate import edit_manifest, replace_file
from helpers.tiny import Tiny
from helpers.tiny_graphs import fusion_graph, text_graph

TINY = Tiny()
DESCRIPTORS = Path("/proc/self/fd")
TEXT = text_graph(TINY.text_weights)


def varint(number):
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def field(number, body, hidden=False):
    """Return a length-delimited field; ``hidden`` sets a bit that protobuf's 32-bit keys drop."""
    return varint((number << 3 | 2) + (hidden << 32)) + varint(len(body)) + body


def test_random_bits_of_every_file(own_bundle):
    """Impact: a damaged download would answer something else."""
    path = own_bundle()
    draw = random.Random(7)
    bundle = open_bundle(path)
    for file in bundle.manifest.files():
        data = (path / file.file).read_bytes()
        for _ in range(20):
            damaged = bytearray(data)
            damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
            (path / file.file).write_bytes(damaged)
            with pytest.raises(BundleError, match="sha256 differs"):
                bundle.read(file)
        (path / file.file).write_bytes(data)
    bundle.verify()


def test_a_hard_link_is_read_but_only_with_the_right_bytes(own_bundle, tmp_path):
    """Impact: none, as long as the bytes are hashed; a link to another file is refused."""
    path = own_bundle()
    (tmp_path / "other").write_bytes(b"secret")
    (path / "CARD.md").unlink()
    os.link(tmp_path / "other", path / "CARD.md")
    with pytest.raises(BundleError, match=r"CARD\.md: 6 bytes"):
        open_bundle(path).verify()


def test_external_data_behind_a_key_of_33_bits(tmp_path):
    """Impact: any file of the machine as weights. ONNX Runtime dropped the bit and saw field 13."""
    model = onnx.load_from_string(TEXT)
    tensor = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[5, 12])
    entry = onnx.StringStringEntryProto(key="location", value="weights.bin")
    hidden = tensor.SerializeToString() + field(13, entry.SerializeToString(), hidden=True)
    hidden += varint((14 << 3) + (1 << 32)) + b"\x01"
    graph = model.graph.SerializeToString() + field(5, hidden)
    model.ClearField("graph")
    with pytest.raises(BundleError, match="invalid field number"):
        check_graph(memoryview(model.SerializeToString() + field(7, graph)), "text.onnx")
    with pytest.raises(BundleError, match="invalid field number"):
        check_graph(memoryview(b"\x02\x00" + TEXT), "text.onnx")  # field 0


def test_a_graph_of_very_many_small_fields():
    """Impact: checking a file of a few megabytes would take minutes."""
    data = b"\x08\x01" * (MAX_FIELDS + 1) + TEXT
    with pytest.raises(BundleError, match="more than 1,000,000 fields"):
        check_graph(memoryview(data), "text.onnx")


def test_onnx_runtimes_own_format():
    """Impact: a graph in flatbuffers, which the parser can't read, would be loaded unchecked."""
    with pytest.raises(BundleError, match="ONNX Runtime's own format"):
        check_graph(memoryview(b"\x08\x00\x00\x00ORTM" + TEXT), "text.onnx")


def test_a_context_compiled_for_a_provider():
    """Impact: TensorRT and others run such a context as code, from any path."""
    model = onnx.load_from_string(TEXT)
    node = helper.make_node("EPContext", [], ["x"], domain="com.microsoft", embed_mode=0)
    model.graph.node.append(node)
    with pytest.raises(BundleError, match="EPContext"):
        check_graph(memoryview(model.SerializeToString()), "text.onnx")


def opened(path, graph, name="text.fp32.onnx"):
    data = graph.SerializeToString()
    return EmotionRecognizer.open(replace_file(path, name, data), self_test=False)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["text", "fusion"])
def test_weights_that_are_not_finite(own_bundle, name, value):
    """Impact: NaN as a confidence, which is invalid JSON and passes every comparison."""
    data = TEXT if name == "text" else fusion_graph(TINY.fusion_weights)
    model = onnx.load_from_string(data)
    bias = next(item for item in model.graph.initializer if item.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(6, value, np.float32), "bias"))
    recognizer = opened(own_bundle(), model, f"{name}.fp32.onnx")
    sound = None if name == "text" else (np.ones(8_000, np.float32), 8_000)
    with pytest.raises(BundleError, match="not finite"):
        recognizer.recognize("hola", sound)


def test_outputs_of_another_shape_than_declared(own_bundle):
    """Impact: labels get the wrong scores, or the caller gets a bare ValueError."""
    model = onnx.load_from_string(TEXT)
    logits = next(item for item in model.graph.output if item.name == "logits")
    logits.type.tensor_type.shape.dim[1].ClearField("dim_value")
    logits.type.tensor_type.shape.dim[1].dim_param = "labels"
    five = {
        "classifier": TINY.text_weights.classifier[:, :5],
        "bias": TINY.text_weights.bias[:5],
    }
    for item in model.graph.initializer:
        if item.name in five:
            item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(five[item.name]), item.name))
    with pytest.raises(BundleError, match=r"shape \(1, 5\) instead of \(1, 6\)"):
        opened(own_bundle(), model).recognize("hola")


@pytest.mark.parametrize("bytes_", [MAX_FILE_BYTES + 1, 1 << 62])
def test_a_file_larger_than_any_graph(own_bundle, bytes_):
    """Impact: a sparse file of terabytes would be copied into memory."""

    def change(document):
        document["card"]["bytes"] = bytes_

    with pytest.raises(BundleError, match="bytes"):
        open_bundle(edit_manifest(own_bundle(), change))


def test_a_tokenizer_of_gigabytes(own_bundle):
    """Impact: a sparse file of 2 GB would be read into memory, twice."""
    path = own_bundle()
    with open(path / "tokenizer.json", "r+b") as file:
        file.truncate(MAX_SMALL_BYTES + 1)

    def change(document):
        document["tokenizers"]["main"]["bytes"] = MAX_SMALL_BYTES + 1

    with pytest.raises(BundleError, match=r"tokenizer\.json: 67,108,865 bytes, at most"):
        EmotionRecognizer.open(edit_manifest(path, change))


@pytest.mark.parametrize("how", ["refused", "full", "no /proc"])
def test_bytes_are_used_without_memory_files(tiny_bundle, monkeypatch, how):
    """Impact: none; hardened hosts forbid memfd, limit file sizes or hide /proc."""

    def refuse(*_):
        raise OSError(errno.EPERM if how == "refused" else errno.EFBIG, "refused")

    if how == "refused":
        monkeypatch.setattr(os, "memfd_create", refuse)
    elif how == "full":
        monkeypatch.setattr(bundle_module, "_write_all", refuse)
    else:
        monkeypatch.setattr(bundle_module, "_DESCRIPTORS", Path("/nowhere"))
    before = len(list(DESCRIPTORS.iterdir()))
    bundle = open_bundle(tiny_bundle())
    bundle.verify()
    with bundle.verified(bundle.manifest.card) as verified:
        assert isinstance(verified.source, bytes)
    assert len(list(DESCRIPTORS.iterdir())) == before


def test_a_disk_that_fails_while_it_is_read(tiny_bundle, monkeypatch):
    """Impact: an OSError of no type that callers know."""

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    bundle = open_bundle(tiny_bundle())
    monkeypatch.setattr(bundle_module, "_in_memory_file", broken)
    monkeypatch.setattr(bundle_module, "_in_bytes", broken)
    with pytest.raises(BundleError, match=r"^CARD\.md: can't be read: Input/output error"):
        bundle.read(bundle.manifest.card)


def test_the_first_golden_schema_is_still_read(tiny_bundle):
    """Impact: none; published bundles must still open (add each newer schema here)."""
    golden = json.loads((tiny_bundle() / "golden.json").read_text())
    assert golden["schema"] == "emo-golden/1"
    EmotionRecognizer.open(tiny_bundle(), self_test=True)
