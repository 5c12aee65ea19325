"""Third step: export PyTorch modules to ONNX graphs without optimization.

Text networks use optimum's exporter, with optimum's configuration of the architecture (including
its patches) and the inputs and outputs of the graph contract.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from optimum.exporters.onnx import export as optimum_export
from optimum.exporters.tasks import TasksManager
from torch.jit._trace import TracerWarning

from emo_export.checkpoints.load import Checkpoints, FusionCheckpoint, TextCheckpoint
from emo_export.checkpoints.onnx_text import OnnxClassifier
from emo_export.checkpoints.speech import Output as SpeechOutput
from emo_export.checkpoints.speech import SpeechCheckpoint
from emo_export.passes.fold_if import fold_ifs
from emo_export.passes.text_inputs import use_bundle_inputs
from emo_models.errors import CheckpointError
from emo_models.modeling.positions import first_position
from emo_models.modeling.text_outputs import TextOutputs
from emo_runtime.audio.front_end import make_front_end

OPSET = 17
_EXAMPLES_S = (2.3, 1.0)
_TOKENS = {0: "batch", 1: "tokens"}
_TEXT_INPUTS = {"input_ids": _TOKENS, "attention_mask": _TOKENS}


def graph(checkpoints: Checkpoints) -> dict[str, onnx.ModelProto]:
    """Return the graphs of a bundle by name: ``text``, ``encoder``, ``speech``, ``fusion``.

    Text graphs: input_ids, attention_mask int64 [batch, tokens] -> logits [batch, labels] and/or
    embedding [batch, hidden]. Speech: features or samples -> logits and/or embedding. Fusion:
    audio [batch, audio_width], text [batch, hidden] (, present [batch, 2]) -> logits.
    """
    graphs: dict[str, onnx.ModelProto] = {}
    fusion = checkpoints.fusion
    pooling = "mean" if fusion is None else fusion.text_pooling
    if checkpoints.text is not None:
        outputs = ("logits", "embedding") if checkpoints.shared else ("logits",)
        graphs["text"] = _text(checkpoints.text, outputs, pooling)
    if checkpoints.encoder is not None and not checkpoints.shared:
        graphs["encoder"] = _text(checkpoints.encoder, ("embedding",), pooling)
    if checkpoints.speech is not None:
        graphs["speech"] = speech_graph(checkpoints.speech, checkpoints.speech_outputs)
    if fusion is not None:
        graphs["fusion"] = _fusion(fusion)
    return graphs


def _text(checkpoint: TextCheckpoint, outputs: tuple[str, ...], pooling: str) -> onnx.ModelProto:
    model: Any = checkpoint.module
    if isinstance(model, OnnxClassifier):
        return _given(model, checkpoint)
    settings = _optimum_config(model.config, outputs, str(checkpoint.directory))
    with tempfile.TemporaryDirectory(prefix="emo-export-") as folder, _quiet():
        path = Path(folder) / "graph.onnx"
        with _zero_token_types(model):
            optimum_export(
                model=TextOutputs(model, outputs, pooling),
                config=settings,
                output=path,
                opset=OPSET,
                disable_dynamic_axes_fix=True,
            )
        exported = onnx.load(path)
        fold_ifs(exported)
        return _fixed_width(exported, outputs, checkpoint)


def _given(classifier: OnnxClassifier, checkpoint: TextCheckpoint) -> onnx.ModelProto:
    """Return the graph of an ONNX classifier, with the tensors of the graph contract."""
    model = classifier.graph()
    start = first_position(classifier.config)
    use_bundle_inputs(
        model,
        labels=len(checkpoint.labels),
        positions=range(start, start + checkpoint.max_tokens),
    )
    fold_ifs(model)
    return model


def speech_graph(
    checkpoint: SpeechCheckpoint, outputs: tuple[SpeechOutput, ...]
) -> onnx.ModelProto:
    """Return the graph of a speech network; its length is dynamic.

    Networks of more than 2 GiB use temporary files with external data.
    """
    shape, axes = _speech_input(checkpoint)
    features = torch.from_numpy(np.random.default_rng(0).standard_normal(shape))
    name = checkpoint.input_name
    with tempfile.TemporaryDirectory(prefix="emo-export-") as folder, _quiet(), torch.no_grad():
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            _SpeechOutputs(checkpoint.module, outputs).eval(),  # the exporter restores its mode
            (features.float(),),
            str(path),  # of another type, a file with external data is refused
            input_names=[name],
            output_names=list(outputs),
            dynamic_axes={name: axes} | {str(output): {0: "batch"} for output in outputs},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    width = {"logits": len(checkpoint.labels), "embedding": checkpoint.width}
    for output, kind in zip(model.graph.output, outputs, strict=True):
        output.type.tensor_type.shape.dim[1].dim_value = width[kind] or 0
    return model


def _speech_input(checkpoint: SpeechCheckpoint) -> tuple[tuple[int, ...], dict[int, str]]:
    """Return the shape of an example input, and the names of its dynamic axes."""
    front_end = make_front_end(checkpoint.front_end)
    shapes = [
        front_end.whole(np.zeros(round(seconds * front_end.sample_rate), np.float32)).parts[0].shape
        for seconds in _EXAMPLES_S
    ]
    dynamic = [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
    return shapes[0], {0: "batch"} | dict.fromkeys(dynamic, "time")


class _SpeechOutputs(torch.nn.Module):
    """A speech network reduced to the outputs of its graph."""

    def __init__(self, module: torch.nn.Module, outputs: tuple[SpeechOutput, ...]) -> None:
        super().__init__()
        self.module = module
        self.outputs = outputs

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs in their order."""
        embedding, logits = self.module(features)
        return tuple(logits if name == "logits" else embedding for name in self.outputs)


def _optimum_config(config: Any, outputs: tuple[str, ...], where: str) -> Any:
    """Return optimum's configuration of the architecture, with the contract's tensors."""
    try:
        constructor = TasksManager.get_exporter_config_constructor(
            "onnx",
            library_name="transformers",
            model_type=config.model_type,
            task="feature-extraction",
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{where}: optimum can't export the architecture {config.model_type!r}: {error}"
        ) from error

    class Contract(constructor.func):  # type: ignore[misc, name-defined]
        inputs = property(lambda _: _TEXT_INPUTS)
        outputs = property(lambda _: {name: {0: "batch"} for name in names})

    names = outputs
    return Contract(config, task="feature-extraction")


def _fixed_width(
    model: onnx.ModelProto, outputs: tuple[str, ...], checkpoint: TextCheckpoint
) -> onnx.ModelProto:
    """Set the widths of the outputs, which tracing leaves undefined."""
    width = {"logits": len(checkpoint.labels), "embedding": checkpoint.hidden}
    for output, name in zip(model.graph.output, outputs, strict=True):
        output.type.tensor_type.shape.dim[1].dim_value = width[name]
    return model


@contextmanager
def _zero_token_types(model: Any) -> Iterator[None]:
    """Replace BERT's segment embedding with its constant row 0: a transcript is one segment.

    The graph then has the row as a constant, and no nodes that compute a tensor of zeros.
    """
    embeddings: Any = getattr(model.base_model, "embeddings", None)
    table: Any = getattr(embeddings, "token_type_embeddings", None)
    if table is None:
        yield
        return

    class FirstRow(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("row", table.weight.detach()[0].clone())

        def forward(self, _token_types: torch.Tensor) -> torch.Tensor:
            row: torch.Tensor = self.row  # type: ignore[assignment]
            return row

    embeddings.token_type_embeddings = FirstRow()
    try:
        yield
    finally:
        embeddings.token_type_embeddings = table


def _fusion(checkpoint: FusionCheckpoint) -> onnx.ModelProto:
    inputs = [torch.zeros(2, checkpoint.audio_width), torch.zeros(2, checkpoint.hidden)]
    names = ["audio", "text"]
    if checkpoint.present_input:
        inputs.append(torch.ones(2, 2))
        names.append("present")
    with tempfile.TemporaryDirectory(prefix="emo-export-") as folder, _quiet(), torch.no_grad():
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            checkpoint.module,
            tuple(inputs),
            path,
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch"} for name in [*names, "logits"]},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(checkpoint.labels)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracing exporter's warnings; its results are verified afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "You are using the legacy TorchScript", DeprecationWarning
        )
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        yield
