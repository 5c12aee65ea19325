"""Conversion of a graph to float16, for GPUs; inputs and outputs keep their dtypes."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from emo_export.onnx_graph import copy


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an optimized graph with float16 weights and arithmetic, and float32 outputs.

    Weights too small for float16 become its smallest positive number (5.96e-8), as in ONNX
    Runtime's converter.
    """
    converted: onnx.ModelProto = convert_float_to_float16(
        copy(model), keep_io_types=True, min_positive_val=2.0**-24, disable_shape_infer=True
    )
    return converted
