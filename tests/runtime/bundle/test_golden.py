"""golden.json and the self-test: damage and swapped labels are found, rounding errors are not."""

import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from emo_runtime import BundleError, EmotionRecognizer, SelfTestError
from emo_runtime.bundle.golden import GoldenAudio, GoldenCase, compare, encode_golden, parse_golden
from emo_runtime.bundle.reader import open_bundle
from helpers.mutate import edit_manifest, replace_file

FP32, INT8 = frozenset({"fp32"}), frozenset({"int8", "fp32"})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-32768, 32767), max_size=50), st.integers(1, 192_000))
def test_sound_comes_back_as_it_was(samples, rate):
    audio = GoldenAudio.of(np.array(samples, np.int16), rate)
    assert audio.sample_rate == rate
    np.testing.assert_array_equal(audio.samples() * 32768, samples)


@pytest.mark.parametrize("pcm", ["AAA", "AAAA!", "AA==", "é"])
def test_sound_that_is_no_base64_of_16_bits(pcm):
    with pytest.raises(BundleError, match="not base64 of 16-bit PCM"):
        GoldenAudio(sample_rate=8000, pcm_s16le=pcm).samples()


def case(*probabilities):
    return GoldenCase(task="text", probabilities=list(probabilities), text="hola")


@pytest.mark.parametrize(
    ("expected", "found", "precisions", "difference"),
    [
        ((0.6, 0.4), (0.6, 0.4), FP32, 0),
        ((0.6, 0.4), (0.60009, 0.39991), FP32, 9e-5),
        ((0.6, 0.4), (0.64, 0.36), INT8, 0.04),
        # The label may change where the reference itself hardly decides.
        ((0.52, 0.48), (0.49, 0.51), INT8, 0.03),
    ],
)
def test_what_agrees(expected, found, precisions, difference):
    assert compare(case(*expected), found, precisions) == pytest.approx(difference, abs=1e-9)


@pytest.mark.parametrize(
    ("expected", "found", "precisions"),
    [
        ((0.6, 0.4), (0.6002, 0.3998), FP32),
        ((0.6, 0.4), (0.66, 0.34), INT8),
        ((0.6, 0.4), (0.4, 0.6), INT8),
        ((0.6, 0.4), (float("nan"), float("nan")), INT8),
        ((0.6, 0.4), (float("nan"), 0.4), FP32),
    ],
)
def test_what_differs(expected, found, precisions):
    with pytest.raises(SelfTestError, match="differ from the reference"):
        compare(case(*expected), found, precisions)


def golden_of(bundle):
    return json.loads((bundle / "golden.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda golden: golden["labels"].reverse(), "are not the manifest's"),
        (lambda golden: golden["cases"][0]["probabilities"].pop(), "5 probabilities for 6 labels"),
        (lambda golden: golden["cases"][0].update(task="audio"), "has no such task"),
        (lambda golden: golden["cases"][0].update(text=None), "its inputs don't fit"),
        (lambda golden: golden["cases"][1].update(audio=None), "its inputs don't fit"),
        (lambda golden: golden["cases"][1].update(text=None), "its inputs don't fit"),
        (lambda golden: golden["cases"].clear(), "cases"),
        (lambda golden: golden.update(schema="emo-golden/2"), "emo-golden/2"),
        (lambda golden: golden.update(more=1), "more"),
        (lambda golden: golden["cases"].extend(golden["cases"] * 20), "cases"),
        (lambda golden: golden["cases"][1]["audio"].update(sample_rate=0), "sample_rate"),
    ],
)
def test_a_golden_file_that_does_not_fit(own_bundle, change, message):
    path = own_bundle()
    golden = golden_of(path)
    change(golden)
    replace_file(path, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match=rf"^golden\.json: .*{message}"):
        EmotionRecognizer.open(path, self_test=True)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"[" * 100_000, b" " * ((8 << 20) + 1), b'{"schema": NaN}']
)
def test_a_golden_file_that_is_none(own_bundle, data):
    path = replace_file(own_bundle(), "golden.json", data)
    with pytest.raises(BundleError, match=r"^golden\.json: "):
        EmotionRecognizer.open(path, self_test=False).self_test()


def test_canonical_bytes_are_read_back_the_same(tiny_bundle):
    bundle = open_bundle(tiny_bundle())
    data = bundle.read(bundle.manifest.golden)
    assert encode_golden(parse_golden(data, bundle.manifest)) == data


def test_labels_in_another_order_are_found(own_bundle):
    path = edit_manifest(own_bundle(), lambda document: document["labels"].reverse())
    with pytest.raises(BundleError, match="are not the manifest's"):
        EmotionRecognizer.open(path, self_test=True)


@pytest.mark.parametrize(
    ("graph", "weight"), [("text", "table"), ("text", "bias"), ("fusion", "audio_weight")]
)
def test_weights_changed_with_updated_hashes_are_found(own_bundle, graph, weight):
    path = own_bundle()
    name = f"{graph}.fp32.onnx"
    model = onnx.load_from_string((path / name).read_bytes())
    for tensor in model.graph.initializer:
        if tensor.name == weight:
            noisy = numpy_helper.to_array(tensor) + np.float32(0.01)
            tensor.CopyFrom(numpy_helper.from_array(noisy, weight))
    replace_file(path, name, model.SerializeToString())
    recognizer = EmotionRecognizer.open(path, self_test=False)
    if weight == "bias":  # the same for every label: the softmax does not see it
        assert recognizer.self_test() < 1e-5
        return
    with pytest.raises(SelfTestError, match="self-test of task"):
        recognizer.self_test()


def test_classes_exchanged_in_the_graph_are_found(own_bundle):
    path = own_bundle()
    model = onnx.load_from_string((path / "text.fp32.onnx").read_bytes())
    for tensor in model.graph.initializer:
        if tensor.name in {"classifier", "bias"}:
            array = np.ascontiguousarray(numpy_helper.to_array(tensor)[..., ::-1])
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    replace_file(path, "text.fp32.onnx", model.SerializeToString())
    with pytest.raises(SelfTestError, match="self-test of task 'text'"):
        EmotionRecognizer.open(path, self_test=True)


def test_only_the_loaded_tasks_are_tested(own_bundle):
    path = own_bundle()
    golden = golden_of(path)
    for item in golden["cases"]:
        if item["task"] == "fusion":
            item["probabilities"] = item["probabilities"][::-1]
    replace_file(path, "golden.json", json.dumps(golden).encode())
    EmotionRecognizer.open(path, tasks=["text"], self_test=True)
    with pytest.raises(SelfTestError, match="'fusion'"):
        EmotionRecognizer.open(path, tasks=["fusion"], self_test=True)
