"""Reader of text classifiers that are ONNX graphs, as ``optimum-cli export onnx`` writes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from transformers.modeling_outputs import SequenceClassifierOutput

from emo_models.errors import CheckpointError, first_line
from emo_models.modeling.load import TextCheckpoint, model_config, quiet, refuse_regression
from emo_models.modeling.positions import first_position, max_tokens
from emo_models.modeling.source import WEIGHT_FILES, files_sha256, read_config
from emo_models.modeling.tokenizer import read_tokenizer
from emo_runtime.ort.session import load_onnxruntime

MODEL = "model.onnx"
_FOLDERS = ("", "onnx")
REQUIRED = ("input_ids", "attention_mask")
INPUTS = (*REQUIRED, "token_type_ids", "position_ids")
# Opsets whose operators mean the same in text graphs; lower ones are raised by their number.
LOWEST_OPSET = 13
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "MatMulInteger", "ConvInteger", "QLinear")
_HALF = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
_AGAIN = "Export it with: optimum-cli export onnx --task text-classification"

Array = NDArray[Any]


def find_onnx(directory: Path) -> Path | None:
    """Return the ONNX graph of a directory; None for a checkpoint with weights of its own.

    Raises:
        CheckpointError: the directory has only graphs of other names, as ``model_quantized.onnx``.
    """
    if any((directory / name).is_file() for name in WEIGHT_FILES):
        return None
    for folder in _FOLDERS:
        if (directory / folder / MODEL).is_file():
            return directory / folder / MODEL
    others = [
        path.relative_to(directory)
        for folder in _FOLDERS
        for path in sorted((directory / folder).glob("*.onnx"))
    ]
    if others:
        raise CheckpointError(
            f"{directory}: holds {', '.join(map(str, others[:3]))}, but no {MODEL}. Give the "
            "float32 graph before any optimization or quantization, which emo-export does itself."
        )
    return None


class OnnxClassifier(torch.nn.Module):
    """An ONNX graph as a network of transformers that returns logits: the reference of its export.

    The graph runs as it is, in ONNX Runtime on PyTorch's number of threads.
    """

    def __init__(self, path: Path, config: Any) -> None:
        super().__init__()
        self.path = path
        self.config = config
        self._sessions: dict[int, Any] = {}

    @property
    def base_model(self) -> torch.nn.Module:
        """The network itself: a graph has no part that gives embeddings."""
        return self

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> SequenceClassifierOutput:
        """Return logits [batch, labels] of token ids [batch, tokens]."""
        session = self._session()
        ids = input_ids.numpy()
        start = first_position(self.config)
        values: dict[str, Callable[[], Array]] = {
            "input_ids": lambda: ids,
            "attention_mask": attention_mask.numpy,
            "token_type_ids": lambda: np.zeros_like(ids),
            "position_ids": lambda: np.broadcast_to(start + np.arange(ids.shape[1]), ids.shape),
        }
        feeds = {item.name: values[item.name]() for item in session.get_inputs()}
        [logits] = session.run(["logits"], feeds)
        return SequenceClassifierOutput(logits=cast("torch.FloatTensor", torch.from_numpy(logits)))

    def graph(self) -> onnx.ModelProto:
        """Return the graph with all of its weights in memory."""
        return onnx.load(self.path)

    def _session(self) -> Any:
        threads = torch.get_num_threads()
        if threads not in self._sessions:
            runtime = load_onnxruntime()
            options = runtime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            try:
                self._sessions[threads] = runtime.InferenceSession(
                    str(self.path), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
                _refuse(self.path, f"ONNX Runtime can't open it: {first_line(error)}")
        return self._sessions[threads]


def read_onnx_text(directory: Path, path: Path) -> TextCheckpoint:
    """Read a text classifier with the graph ``path`` and the other files of ``directory``.

    Raises:
        CheckpointError: a graph that is optimized, quantized, not in float32, of fixed shape, or
            not of a classifier; or a directory without config.json or tokenizer.
    """
    values = read_config(directory)
    config = model_config(directory)
    refuse_regression(directory, values, config)
    weights = _check_graph(path)
    with quiet():
        tokenizer = read_tokenizer(directory, config)
    module = OnnxClassifier(path, config).eval()
    names: dict[int, str] = config.id2label
    labels = tuple(names[index] for index in sorted(names))
    _check_logits(module, len(labels))
    return TextCheckpoint(
        directory=directory,
        module=module,
        tokenizer=tokenizer,
        config=values,
        sha256=files_sha256((path, *weights)),
        max_tokens=max_tokens(config),
        labels=labels,
    )


def _check_graph(path: Path) -> tuple[Path, ...]:
    """Refuse a graph that the export can't start from; return its files of external data."""
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001  (protobuf's errors differ by implementation)
        _refuse(path, f"not an ONNX file: {first_line(error)}")
    graph = model.graph
    domains = {node.domain for node in graph.node} - {"", "ai.onnx"}
    if domains:
        _refuse(
            path,
            f"already optimized (it has operators of {', '.join(sorted(domains))}). Give the graph "
            "of optimum-cli export onnx without --optimize",
        )
    kinds = {node.op_type for node in graph.node}
    if any(kind.startswith(_QUANTIZED) or "QuantizeLinear" in kind for kind in kinds):
        _refuse(path, "already quantized. Give its float32 graph: emo-export quantizes it itself")
    if any(tensor.data_type in _HALF for tensor in graph.initializer):
        _refuse(path, f"its weights are not float32. {_AGAIN} --dtype fp32")
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    if opset < LOWEST_OPSET:
        _refuse(path, f"opset {opset}; {LOWEST_OPSET} or newer is needed. {_AGAIN} --opset 17")
    _check_inputs(path, graph)
    return _external_files(path, graph)


def _check_inputs(path: Path, graph: Any) -> None:
    weights = {tensor.name for tensor in graph.initializer}
    inputs = {item.name: item.type.tensor_type for item in graph.input if item.name not in weights}
    outputs = {item.name: item.type.tensor_type for item in graph.output}
    if "logits" not in outputs:
        _refuse(path, f"gives {', '.join(outputs) or 'nothing'}, no logits. {_AGAIN}")
    if not set(REQUIRED) <= inputs.keys() <= set(INPUTS):
        _refuse(
            path,
            f"reads {', '.join(inputs) or 'nothing'}; expected input_ids and attention_mask, with "
            f"or without token_type_ids and position_ids. {_AGAIN}",
        )
    for name, tensor in inputs.items():
        if tensor.elem_type != TensorProto.INT64:
            _refuse(path, f"its input {name} is not int64. {_AGAIN}")
        if any(dim.HasField("dim_value") for dim in tensor.shape.dim):
            _refuse(
                path, f"its input {name} has a fixed shape. {_AGAIN}, without --no-dynamic-axes"
            )


def _external_files(path: Path, graph: Any) -> tuple[Path, ...]:
    names = {
        entry.value
        for tensor in graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    if unsafe := [name for name in names if Path(name).name != name]:
        _refuse(path, f"its weights are in another directory ({unsafe[0]:.60})")
    files = tuple(path.parent / name for name in sorted(names))
    if missing := [file.name for file in files if not file.is_file()]:
        _refuse(path, f"its weights are in {', '.join(missing)}, which is missing. Copy it there")
    return files


def _check_logits(module: OnnxClassifier, labels: int) -> None:
    ids = torch.ones((1, 2), dtype=torch.int64)
    try:
        logits = module(ids, torch.ones_like(ids)).logits
    except CheckpointError:
        raise
    except Exception as error:  # noqa: BLE001  (ONNX Runtime's errors share no public base)
        _refuse(module.path, f"ONNX Runtime can't run it: {first_line(error)}")
    if tuple(logits.shape) != (1, labels):
        _refuse(
            module.path,
            f"gives logits of shape {list(logits.shape)} for one text; id2label of config.json "
            f"names {labels} labels",
        )


def _refuse(path: Path, what: str) -> NoReturn:
    raise CheckpointError(f"{path}: {what}.")
