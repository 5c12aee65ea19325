"""Rivals for bundles with a speech graph: librosa, a feature extractor of transformers, a network.

``toolkit`` answers as the toolkit speech-emotion does, except that its model is loaded once: its
features with their mask, and transcripts padded to 512 tokens.
"""

import io
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoFeatureExtractor

from emo_bench.engines.base import Outcome
from emo_bench.engines.compiled import (
    Function,
    Input,
    in_onnxruntime,
    in_openvino,
    in_pytorch,
    onnx_function,
    quantized,
)
from emo_bench.engines.speech_models import (
    MAX_FRAMES,
    SAMPLE_RATE,
    SpeechModel,
    read_speech_model,
)
from emo_bench.engines.torch_stack import set_threads
from emo_bench.workload import Sample
from emo_models.evaluation.metrics import softmax
from emo_models.modeling.source import read_config
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]
Mark = Callable[[str], None]
# Samples and transcript to logits [labels], and the number of tokens.
Answer = Callable[[Floats, str, Mark], tuple[Floats, int]]

_EXAMPLES_S = (1.3, 0.8)


def open_engine(
    *, checkpoint: str, precision: str, threads: int | None, serving: bool
) -> "SpeechRival":
    """Open a rival.

    Args:
        checkpoint: See ``read_speech_model``.
        precision: ``toolkit``, ``pytorch fp32``, ``pytorch int8``, ``onnxruntime fp32``,
            ``optimum int8`` or ``openvino fp32``.
        threads: Of one utterance.
        serving: Answer as many utterances at once as there are threads.

    Raises:
        EmoError: The rival can't run this model.
    """
    concurrency = set_threads(threads, serving=serving)
    model = read_speech_model(Path(checkpoint))
    if precision == "toolkit":
        answer = _toolkit(model)
    elif precision == "optimum int8":
        answer = _of_functions(model, _by_optimum(model, _intra_op(threads, concurrency)), None)
    else:
        answer = _compiled(model, precision, threads, concurrency)
    size = sum(
        tensor.numel() * tensor.element_size()
        for module in (model.sound, model.text, model.head)
        if module is not None
        for tensor in module.state_dict().values()
    )
    described = {"engine": precision, "model_bytes": 0 if "int8" in precision else size}
    return SpeechRival(model, answer, described, concurrency)


class SpeechRival:
    """Sound by librosa at 16 kHz, features by transformers, networks by ``answer``."""

    def __init__(
        self, model: SpeechModel, answer: Answer, described: dict[str, Any], concurrency: int
    ) -> None:
        self.concurrency = concurrency
        self._model = model
        self._answer = answer
        self._described = described

    def answer(self, sample: Sample) -> Outcome:
        """Answer from the sound, and the text where the model reads it."""
        import librosa

        if sample.audio is None:
            raise EmoError("this rival answers sound, and the utterance has none.")
        marks = [("", time.perf_counter())]

        def mark(name: str) -> None:
            marks.append((name, time.perf_counter()))

        samples, _ = librosa.load(io.BytesIO(sample.audio), sr=SAMPLE_RATE)
        mark("decode")  # and resampling, which librosa does in one call
        logits, tokens = self._answer(samples, sample.text, mark)
        scores = softmax(logits[np.newaxis], self._model.temperature)[0]
        phases = {
            name: (end - begin) * 1e3 for (_, begin), (name, end) in itertools.pairwise(marks)
        }
        phases["total"] = sum(phases.values())
        labels = self._model.labels
        return Outcome(
            labels[int(scores.argmax())],
            dict(zip(labels, scores.tolist(), strict=True)),
            tokens,
            phases,
        )

    def describe(self) -> dict[str, Any]:
        """Return the name of the engine and the size of its float32 weights."""
        return self._described

    def close(self) -> None:
        """Do nothing: there are no resources to release."""


def _toolkit(model: SpeechModel) -> Answer:
    if not model.toolkit:
        raise EmoError(f"{model.directory}: not a model of speech-emotion.")
    extractor = AutoFeatureExtractor.from_pretrained(model.directory)
    sound, head = model.parts()

    @torch.inference_mode()
    def answer(samples: Floats, text: str, mark: Mark) -> tuple[Floats, int]:
        tokens, read = 0, []
        if model.text is not None:
            encoded = model.tokenize(text, padding="max_length", return_tensors="pt")
            tokens = int(encoded["attention_mask"].sum())
            mark("tokenize")
            read = [model.text(encoded["input_ids"], encoded["attention_mask"])]
            mark("text")
        found = extractor(
            samples,
            sampling_rate=SAMPLE_RATE,
            max_length=MAX_FRAMES,
            truncation=True,
            return_tensors="pt",
        )
        mark("front_end")
        logits: torch.Tensor = head(sound(found["input_features"], found["attention_mask"]), *read)
        mark("speech")
        return logits[0].numpy(), tokens

    return answer


def _by_optimum(model: SpeechModel, threads: int) -> Function:
    """Return the speech network as optimum exports and quantizes it."""
    from optimum.exporters.onnx import main_export
    from optimum.exporters.tasks import TasksManager

    kind = read_config(model.directory)["model_type"]
    known: Any = TasksManager._SUPPORTED_MODEL_TYPE
    if "audio-classification" not in known.get(kind, {}).get("onnx", {}):
        raise EmoError(f"optimum does not export the architecture {kind!r}.")
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracing exporter
        main_export(
            str(model.directory),
            name,
            task="audio-classification",
            library_name="transformers",
            do_validation=False,
        )
        # The quantizer refuses convolutions whose weight norm is computed.
        path = quantized(Path(name, "model.onnx"), Path(name, "int8"), ["MatMul", "Gemm"])
        return onnx_function(path, [model.input_name], threads)


def _intra_op(threads: int | None, concurrency: int) -> int:
    """Return the threads of an utterance in ONNX Runtime; 0: all cores."""
    return 1 if concurrency > 1 else threads or 0


def _compiled(model: SpeechModel, precision: str, threads: int | None, concurrency: int) -> Answer:
    def function(module: torch.nn.Module, inputs: dict[str, Input]) -> Function:
        if precision.startswith("pytorch"):
            return in_pytorch(module, precision.split()[1])
        if precision.startswith("openvino"):
            return in_openvino(module, inputs, threads, concurrency)
        return in_onnxruntime(module, inputs, _intra_op(threads, concurrency))

    draw = np.random.default_rng(0)
    short, long = (
        model.features(draw.normal(size=round(seconds * SAMPLE_RATE)).astype(np.float32))
        for seconds in _EXAMPLES_S
    )
    dynamic = [axis for axis in range(1, short.ndim) if short.shape[axis] != long.shape[axis]]
    axes = {0: "batch"} | dict.fromkeys(dynamic, "time")
    sound = function(model.sound, {model.input_name: Input(short, axes)})
    if model.text is None:
        return _of_functions(model, sound, None)
    ids = Input(np.ones((1, 8), np.int64), {0: "batch", 1: "tokens"})
    text = function(model.text, {"input_ids": ids, "attention_mask": ids})
    return _of_functions(model, sound, text)


def _of_functions(model: SpeechModel, sound: Function, text: Function | None) -> Answer:
    # Its share of the time is negligible.
    head = None if model.head is None else in_pytorch(model.head, "fp32")

    def answer(samples: Floats, transcript: str, mark: Mark) -> tuple[Floats, int]:
        features = model.features(samples)
        mark("front_end")
        vector = sound(features)
        mark("speech")
        if text is None or head is None:
            return vector[0], 0
        encoded = model.tokenize(transcript, return_tensors="np")
        mark("tokenize")
        read = text(encoded["input_ids"], encoded["attention_mask"])
        mark("text")
        logits = head(vector, read)[0]
        mark("fusion")
        return logits, encoded["input_ids"].shape[1]

    return answer
