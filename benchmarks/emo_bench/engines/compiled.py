"""A network as a function of arrays: in PyTorch, ONNX Runtime or OpenVINO."""

import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emo_bench.engines.torch_stack import OPSET
from emo_runtime.ort.session import load_onnxruntime

Array = NDArray[Any]
Function = Callable[..., NDArray[np.float32]]


@dataclass(frozen=True)
class Input:
    """An example array, and the names of its dynamic axes."""

    example: Array
    axes: Mapping[int, str]


def in_pytorch(module: torch.nn.Module, precision: str) -> Function:
    """Return the module in ``fp32``, or in ``int8`` (dynamic, linear layers)."""
    if precision == "int8":
        module = int8_linear(module)

    def run(*arrays: Array) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: torch.Tensor = module(*(torch.from_numpy(array) for array in arrays))
        return np.asarray(found.numpy())

    return run


def int8_linear(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module with dynamically quantized linear layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch has deprecated this API in favour of torchao
        quantize: Any = torch.ao.quantization.quantize_dynamic
        found: torch.nn.Module = quantize(module, {torch.nn.Linear}, dtype=torch.qint8)
    return found


def in_onnxruntime(module: torch.nn.Module, inputs: Mapping[str, Input], threads: int) -> Function:
    """Return the graph without rewrites, in float32."""
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name:
        path = _exported(module, inputs, Path(name, "model.onnx"))
        return onnx_function(path, list(inputs), threads)


def onnx_function(path: Path, names: Sequence[str], threads: int) -> Function:
    """Return a graph with these inputs as a function of its first output."""
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(*arrays: Array) -> NDArray[np.float32]:
        found = session.run(None, dict(zip(names, arrays, strict=True)))
        return np.asarray(found[0], np.float32)

    return run


def quantized(path: Path, folder: Path, operators: Sequence[str] | None = None) -> Path:
    """Quantize as ``optimum-cli onnxruntime quantize --avx512_vnni``; all operators by default."""
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    settings = AutoQuantizationConfig.avx512_vnni(
        is_static=False,
        per_channel=False,
        operators_to_quantize=None if operators is None else list(operators),
    )
    quantizer = ORTQuantizer.from_pretrained(path.parent, file_name=path.name)
    quantizer.quantize(save_dir=folder, quantization_config=settings)
    [found] = folder.glob("*.onnx")
    return found


def in_openvino(
    module: torch.nn.Module, inputs: Mapping[str, Input], threads: int | None, streams: int
) -> Function:
    """Return the graph in OpenVINO, in float32."""
    import openvino

    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name:
        core = openvino.Core()
        model = core.read_model(_exported(module, inputs, Path(name, "model.onnx")))
        infer = openvino_function(core, model, "f32", threads, streams)

    def run(*arrays: Array) -> NDArray[np.float32]:
        return np.array(infer(dict(zip(inputs, arrays, strict=True)))[0], np.float32)

    return run


def openvino_function(
    core: Any, model: Any, precision: str, threads: int | None, streams: int
) -> Callable[[Mapping[str, Array]], Any]:
    """Compile a model of OpenVINO; ``streams``: how many utterances are answered at once."""
    properties: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or 0,
        "INFERENCE_PRECISION_HINT": precision,
    }
    if streams > 1:
        properties |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": streams}
    compiled = core.compile_model(model, "CPU", properties)
    # One inference request per thread.
    requests = threading.local()

    def infer(inputs: Mapping[str, Array]) -> Any:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        return requests.own.infer(inputs)

    return infer


def _exported(module: torch.nn.Module, inputs: Mapping[str, Input], path: Path) -> Path:
    """Export without any optimization; weights beyond 2 GiB become files beside the graph."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracing exporter
        torch.onnx.export(
            module,
            tuple(torch.from_numpy(item.example) for item in inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["output"],
            dynamic_axes={name: dict(item.axes) for name, item in inputs.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    return path
