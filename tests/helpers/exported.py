"""Small PyTorch modules as ONNX graphs, and graphs run without ONNX Runtime's own rewrites."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import copy


def exported(
    module: torch.nn.Module, example: torch.Tensor, dynamic: dict[int, str]
) -> onnx.ModelProto:
    """Return the graph of a module, x -> y, as the exporter makes it."""
    import warnings

    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            stream,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": dynamic},
            opset_version=17,
            dynamo=False,
        )
    return onnx.load_from_string(stream.getvalue())


def made(
    nodes: Sequence[Any], constants: dict[str, NDArray[Any]], shape: Sequence[int | str]
) -> onnx.ModelProto:
    """Return a graph x -> y of nodes."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def run(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return y of a graph, computed without rewrites by ONNX Runtime."""
    onnx.checker.check_model(model)
    return GraphSession(copy(model), plain=True).run(x=x)["y"]


def kinds(model: onnx.ModelProto) -> list[str]:
    """Return the operators of a graph in order, without constants."""
    return [node.op_type for node in model.graph.node if node.op_type != "Constant"]
