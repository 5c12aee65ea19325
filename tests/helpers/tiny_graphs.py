"""Small ONNX graphs with seeded random weights, and the same functions in numpy.

The numpy functions use the same weights but share no code with ONNX Runtime: they are the reference
for the answers of a tiny bundle.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]
Precision = Literal["int8", "fp16", "fp32"]

OPSET = 18
IR_VERSION = 9


@dataclass(frozen=True, eq=False)
class TextWeights:
    """Embedding table [vocabulary, hidden], classifier [hidden, labels] and its bias [labels]."""

    table: Floats
    classifier: Floats
    bias: Floats

    @classmethod
    def random(cls, seed: int, vocabulary: int, hidden: int, labels: int) -> "TextWeights":
        """Scaled so that the labels of random sentences differ clearly."""
        draw = np.random.default_rng(seed)
        return cls(
            draw.normal(0, 1, (vocabulary, hidden)).astype(np.float32),
            draw.normal(0, 1, (hidden, labels)).astype(np.float32),
            draw.normal(0, 0.1, labels).astype(np.float32),
        )

    def embedding(self, ids: NDArray[np.int64]) -> Floats:
        """Mean-pooled vectors [batch, hidden] of unpadded ids [batch, tokens]."""
        return self.table[ids].mean(axis=1)

    def logits(self, ids: NDArray[np.int64]) -> Floats:
        """Logits [batch, labels]."""
        return self.embedding(ids) @ self.classifier + self.bias


@dataclass(frozen=True, eq=False)
class FusionWeights:
    """A hidden layer over concatenated audio and text."""

    audio: Floats
    text: Floats
    head: Floats
    bias: Floats

    @classmethod
    def random(
        cls, seed: int, n_mfcc: int, text_hidden: int, units: int, labels: int
    ) -> "FusionWeights":
        """The audio side is scaled down: mean MFCCs reach some hundreds."""
        draw = np.random.default_rng(seed)
        return cls(
            draw.normal(0, 0.01, (n_mfcc, units)).astype(np.float32),
            draw.normal(0, 1, (text_hidden, units)).astype(np.float32),
            draw.normal(0, 0.5, (units, labels)).astype(np.float32),
            draw.normal(0, 0.1, labels).astype(np.float32),
        )

    def logits(self, audio: Floats, text: Floats, present: Floats | None = None) -> Floats:
        """Logits [batch, labels]; ``present`` [batch, 2] masks audio and text."""
        if present is not None:
            audio, text = audio * present[:, :1], text * present[:, 1:]
        return np.maximum(audio @ self.audio + text @ self.text, 0) @ self.head + self.bias


def text_graph(
    weights: TextWeights,
    outputs: Iterable[Literal["logits", "embedding"]] = ("logits", "embedding"),
    precision: Precision = "fp32",
) -> bytes:
    """Gather, masked mean over the tokens, linear: ``input_ids, attention_mask -> outputs``."""
    wanted = list(outputs)
    hidden, labels = weights.classifier.shape
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["vectors", "mask3"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask3", "tokens"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["embedding"]),
    ]
    stored = {"table": weights.table}
    if "logits" in wanted:
        nodes.append(helper.make_node("Gemm", ["embedding", "classifier", "bias"], ["logits"]))
        stored |= {"classifier": weights.classifier, "bias": weights.bias}
    widths = {"logits": labels, "embedding": hidden}
    constants = [
        numpy_helper.from_array(np.array([2], np.int64), "last"),
        numpy_helper.from_array(np.array([1], np.int64), "tokens"),
    ]
    return _model(
        nodes,
        dict.fromkeys(("input_ids", "attention_mask"), (TensorProto.INT64, "tokens")),
        {name: (TensorProto.FLOAT, widths[name]) for name in wanted},
        (stored, constants),
        precision,
    )


def fusion_graph(
    weights: FusionWeights, *, present_input: bool = False, precision: Precision = "fp32"
) -> bytes:
    """``audio, text[, present] -> logits``: one hidden layer."""
    audio, text = "audio", "text"
    nodes = []
    inputs: dict[str, tuple[int, str | int]] = {
        "audio": (TensorProto.FLOAT, len(weights.audio)),
        "text": (TensorProto.FLOAT, len(weights.text)),
    }
    if present_input:
        inputs["present"] = (TensorProto.FLOAT, 2)
        nodes = [
            helper.make_node(
                "Split", ["present"], ["has_audio", "has_text"], axis=1, num_outputs=2
            ),
            helper.make_node("Mul", ["audio", "has_audio"], ["masked_audio"]),
            helper.make_node("Mul", ["text", "has_text"], ["masked_text"]),
        ]
        audio, text = "masked_audio", "masked_text"
    nodes += [
        helper.make_node("MatMul", [audio, "audio_weight"], ["audio_part"]),
        helper.make_node("MatMul", [text, "text_weight"], ["text_part"]),
        helper.make_node("Add", ["audio_part", "text_part"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["units"]),
        helper.make_node("Gemm", ["units", "head", "bias"], ["logits"]),
    ]
    stored = {
        "audio_weight": weights.audio,
        "text_weight": weights.text,
        "head": weights.head,
        "bias": weights.bias,
    }
    outputs = {"logits": (TensorProto.FLOAT, len(weights.bias))}
    return _model(nodes, inputs, outputs, (stored, []), precision)


@dataclass(frozen=True, eq=False)
class SpeechWeights:
    """A layer over time, mean and standard deviation over time, embedding, classifier."""

    frame: Floats
    project: Floats
    classifier: Floats
    bias: Floats

    @classmethod
    def random(cls, seed: int, inputs: int, width: int, labels: int) -> "SpeechWeights":
        """``inputs`` is the number of values of one time step."""
        draw = np.random.default_rng(seed)
        units = 6
        return cls(
            draw.normal(0, 1 / np.sqrt(inputs), (inputs, units)).astype(np.float32),
            draw.normal(0, 1, (2 * units, width)).astype(np.float32),
            draw.normal(0, 1, (width, labels)).astype(np.float32),
            draw.normal(0, 0.1, labels).astype(np.float32),
        )

    def embedding(self, steps: Floats) -> Floats:
        """Vectors [batch, width] of time steps [batch, time, inputs]."""
        states = np.maximum(steps @ self.frame, 0)
        mean = states.mean(axis=1)
        variance = ((states - mean[:, np.newaxis]) ** 2).mean(axis=1)
        return np.concatenate([mean, np.sqrt(variance + 1e-5)], axis=1) @ self.project

    def logits(self, steps: Floats) -> Floats:
        """Logits [batch, labels]."""
        return self.embedding(steps) @ self.classifier + self.bias


SAMPLES_PER_STEP = 160


def speech_graph(
    weights: SpeechWeights,
    kind: Literal["log_mel", "kaldi_fbank", "waveform"],
    outputs: Iterable[Literal["logits", "embedding"]] = ("embedding",),
) -> bytes:
    """``features`` or ``samples`` -> outputs: a layer, mean and deviation over time, a layer."""
    wanted = list(outputs)
    inputs = len(weights.frame)
    if kind == "waveform":
        # A convolution with as many filters as a step has samples: the steps as they are.
        identity = np.eye(inputs, dtype=np.float32)[:, np.newaxis]
        name, shape = "samples", ["batch", "time"]
        nodes = [
            helper.make_node("Unsqueeze", ["samples", "channel"], ["signal"]),
            helper.make_node("Conv", ["signal", "identity"], ["columns"], strides=[inputs]),
            helper.make_node("Transpose", ["columns"], ["steps"], perm=[0, 2, 1]),
        ]
        stored = {"identity": identity}
    elif kind == "log_mel":
        name, shape = "features", ["batch", inputs, "time"]
        nodes = [helper.make_node("Transpose", ["features"], ["steps"], perm=[0, 2, 1])]
        stored = {}
    else:
        name, shape = "features", ["batch", "time", inputs]
        nodes = [helper.make_node("Identity", ["features"], ["steps"])]
        stored = {}
    nodes += [
        helper.make_node("MatMul", ["steps", "frame"], ["raw"]),
        helper.make_node("Relu", ["raw"], ["states"]),
        helper.make_node("ReduceMean", ["states", "time_axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["states", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares", "time_axis"], ["variance"], keepdims=0),
        helper.make_node("Add", ["variance", "epsilon"], ["positive"]),
        helper.make_node("Sqrt", ["positive"], ["deviation"]),
        helper.make_node("Squeeze", ["mean", "time_axis"], ["flat_mean"]),
        helper.make_node("Concat", ["flat_mean", "deviation"], ["pooled"], axis=1),
        helper.make_node("MatMul", ["pooled", "project"], ["embedding"]),
    ]
    stored |= {"frame": weights.frame, "project": weights.project}
    if "logits" in wanted:
        nodes.append(helper.make_node("Gemm", ["embedding", "classifier", "bias"], ["logits"]))
        stored |= {"classifier": weights.classifier, "bias": weights.bias}
    widths = {"logits": len(weights.bias), "embedding": weights.project.shape[1]}
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "channel"),
        numpy_helper.from_array(np.array([1], np.int64), "time_axis"),
        numpy_helper.from_array(np.array(1e-5, np.float32), "epsilon"),
    ]
    return _model(
        nodes,
        {name: (TensorProto.FLOAT, shape)},  # type: ignore[dict-item]
        {output: (TensorProto.FLOAT, widths[output]) for output in wanted},
        (stored, constants),
        "fp32",
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, str | int | list[str | int]]],
    outputs: dict[str, tuple[int, int]],
    constants: tuple[dict[str, Floats], list[onnx.TensorProto]],
    precision: Precision,
) -> bytes:
    weights, initializers = constants
    unpack: list[onnx.NodeProto] = []
    initializers = list(initializers)
    for name, array in weights.items():
        tensors, restoring = _stored(name, array, precision)
        initializers += tensors
        unpack += restoring
    graph = helper.make_graph(
        [*unpack, *nodes],
        "tiny",
        [_info(name, *spec) for name, spec in inputs.items()],
        [_info(name, *spec) for name, spec in outputs.items()],
        initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _stored(
    name: str, array: Floats, precision: Precision
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    """A weight in its precision, and the node that makes it float32 again."""
    if precision == "fp32":
        return [numpy_helper.from_array(array, name)], []
    if precision == "fp16":
        half = numpy_helper.from_array(array.astype(np.float16), f"{name}_half")
        cast = helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)
        return [half], [cast]
    scale = np.float32(np.abs(array).max() / 127)
    quantized = np.round(array / scale).astype(np.int8)
    tensors = [
        numpy_helper.from_array(quantized, f"{name}_int8"),
        numpy_helper.from_array(scale, f"{name}_scale"),
    ]
    node = helper.make_node("DequantizeLinear", [tensor.name for tensor in tensors], [name])
    return tensors, [node]


def _info(name: str, element_type: int, shape: str | int | list[str | int]) -> onnx.ValueInfoProto:
    """A list is the whole shape, a single value the width of rows."""
    whole = shape if isinstance(shape, list) else ["batch", shape]
    return helper.make_tensor_value_info(name, element_type, whole)
