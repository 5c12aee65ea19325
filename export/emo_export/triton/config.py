"""``config.pbtxt`` of one graph, for Triton's ONNX Runtime backend, in protobuf's text format.

The configuration lists inputs and outputs, so that the backend does not auto-complete it. Without
either of them it would change a ``max_batch_size`` of 0 to 4 and batch (``AutoCompleteConfig``).
"""

from collections.abc import Mapping

from emo_runtime.bundle.manifest import Precision
from emo_runtime.bundle.onnx_check import FLOAT, INT64, GraphInfo, TensorInfo

_TYPES = {FLOAT: "TYPE_FP32", INT64: "TYPE_INT64"}
_KINDS: dict[Precision, str] = {
    "int8": "KIND_CPU",
    "int8-qdq": "KIND_CPU",
    "fp16": "KIND_GPU",
    "fp32": "KIND_AUTO",
}
_MAX_BATCH_SIZE = 32
_BATCHING = f"""\
# Triton puts requests of one shape together: rows of equal length, so that none is padded.
max_batch_size: {_MAX_BATCH_SIZE}
dynamic_batching {{ }}"""
_ONE_ROW = """\
# One row a request, and no batching: scales that are found while a graph runs are found from all
# rows at once, an answer would depend on its neighbours. Dims of 1: Triton refuses more.
max_batch_size: 0"""
_OPENVINO = """
optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }"""


def model_config(name: str, graph: GraphInfo, precision: Precision, *, on_cpu: bool) -> str:
    """Return the configuration of the model ``name``; ``on_cpu`` for graphs too small for a GPU.

    Output dimensions must be equal to the graph's; input dimensions may be narrower (the backend's
    ``ValidateInputs`` and ``ValidateOutputs``).
    """
    one_row = precision.startswith("int8")
    batch = [1] if one_row else []
    return f"""\
name: "{name}"
backend: "onnxruntime"
{_ONE_ROW if one_row else _BATCHING}
input [
{_tensors(graph.inputs, batch)}
]
output [
{_tensors(graph.outputs, [-1] if one_row else [])}
]
# For many requests at once more instances, for one at a time more threads.
instance_group [ {{ kind: {"KIND_CPU" if on_cpu else _KINDS[precision]} count: 1 }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}\
{_OPENVINO if precision == "int8-qdq" else ""}
"""


def _tensors(tensors: Mapping[str, TensorInfo], batch: list[int]) -> str:
    """Return one line per tensor; ``batch`` replaces the first dimension."""
    lines = []
    for name, tensor in tensors.items():
        sizes = [-1 if size is None else size for size in tensor.dimensions[1:]]
        dims = ", ".join(str(size) for size in [*batch, *sizes])
        kind = _TYPES[tensor.element_type]
        lines.append(f'  {{ name: "{name}" data_type: {kind} dims: [ {dims} ] }}')
    return ",\n".join(lines)
