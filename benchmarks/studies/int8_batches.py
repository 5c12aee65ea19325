"""Measure whether int8 matrix products are faster for a batch of equal lengths than row by row.

python -m studies.int8_batches [--batch 32] [--tokens 16 35] [--rounds 9]

The scale of a dynamically quantized product covers the whole tensor, so the rows of a batch change
each other's answers. Two ways to avoid that are compared, on one thread, for the products of a
network of BETO's size:

- "one by one": ``DynamicQuantizeMatMul`` on each row, as emo-runtime does.
- "own scales": one ``MatMulInteger`` on the batch, with a scale and a zero point for each row. The
  zero point is subtracted afterwards, as a multiple of the column sums. Its output is compared
  bit by bit with that of "one by one".

"shared scale" (one ``DynamicQuantizeMatMul`` on the batch) is the lower bound: it is not an option.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from emo_runtime.ort.session import load_onnxruntime

Floats = NDArray[np.float32]
# Width of the input and of the output: attention, first and second layer of the feed-forward part.
PRODUCTS = ((768, 768), (768, 3072), (3072, 768))
CALLS_S = 0.05


def main() -> None:
    """Print the time of each way and the ratio to one by one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--tokens", type=int, nargs="+", default=[16, 35])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    for width, outputs in PRODUCTS:
        weights = random.normal(0, 0.03, (width, outputs)).astype(np.float32)
        scales = (np.abs(weights).max(axis=0) / 127).astype(np.float32)
        weights_int8 = np.rint(weights / scales).astype(np.int8)
        shared = session(shared_scale(weights_int8, scales))
        own = session(own_scales(weights_int8, scales))
        for tokens in options.tokens:
            rows = random.normal(size=(options.batch, tokens, width)).astype(np.float32)
            rows *= random.uniform(0.5, 2, (options.batch, 1, 1)).astype(np.float32)
            compare(rows, shared, own, options.rounds)


def compare(rows: Floats, shared: Any, own: Any, rounds: int) -> None:
    """Print one product's times, and whether the outputs have the same bits."""
    singles = [row[None] for row in rows]
    ways: dict[str, Callable[[], list[Floats]]] = {
        "one by one": lambda: [shared.run(None, {"x": row})[0] for row in singles],
        "own scales": lambda: [own.run(None, {"x": rows})[0]],
        "shared scale": lambda: [shared.run(None, {"x": rows})[0]],
    }
    [batched] = ways["own scales"]()
    equal = np.array_equal(np.concatenate(ways["one by one"]()), batched)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            run()
            calls, begun = 0, time.perf_counter()
            while calls == 0 or time.perf_counter() - begun < CALLS_S:
                run()
                calls += 1
            times[name].append((time.perf_counter() - begun) / calls)
    described = []
    for name, found in times.items():
        gains = [a / b for a, b in zip(times["one by one"], found, strict=True)]
        median_ms = 1e3 * statistics.median(found)
        described.append(f"{name} {median_ms:.2f} ms ({statistics.median(gains):.2f} x)")
    print(
        f"{rows.shape[2]} -> {own.get_outputs()[0].shape[-1]}, {rows.shape[0]} rows of "
        f"{rows.shape[1]} tokens: {', '.join(described)}; same bits: {'yes' if equal else 'no'}",
        flush=True,
    )


def shared_scale(weights: NDArray[np.int8], scales: Floats) -> ModelProto:
    """Return one ``DynamicQuantizeMatMul``."""
    node = helper.make_node(
        "DynamicQuantizeMatMul", ["x", "weights", "scales"], ["y"], domain="com.microsoft"
    )
    return graph([node], {"weights": weights, "scales": scales})


def own_scales(weights: NDArray[np.int8], scales: Floats) -> ModelProto:
    """Return a product whose input has a scale and a zero point for each row of the batch."""
    steps = (
        ("ReduceMin", "x axes -> least"),
        ("ReduceMax", "x axes -> largest"),
        ("Min", "least zero -> low"),
        ("Max", "largest zero -> high"),
        ("Sub", "high low -> range"),
        ("Div", "range steps -> scale"),
        ("Div", "low scale -> offset"),
        ("Neg", "offset -> negated"),
        ("Round", "negated -> zero_point"),
        ("Div", "x scale -> divided"),
        ("Round", "divided -> rounded"),
        ("Add", "rounded zero_point -> shifted"),
        ("Clip", "shifted zero steps -> clipped"),
        ("Cast uint8", "clipped -> quantized"),
        ("MatMulInteger", "quantized weights -> sums"),
        ("Cast int32", "zero_point -> zero_point_int"),
        ("Mul", "zero_point_int column_sums -> excess"),
        ("Sub", "sums excess -> product"),
        ("Cast float", "product -> product_float"),
        ("Mul", "scale scales -> factors"),
        ("Mul", "product_float factors -> y"),
    )
    nodes = []
    for step, names in steps:
        inputs, outputs = (side.split() for side in names.split(" -> "))
        operator, _, to = step.partition(" ")
        attributes: dict[str, Any] = {"to": TensorProto.DataType.Value(to.upper())} if to else {}
        if operator.startswith("Reduce"):
            attributes["keepdims"] = 1
        nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
    constants = {
        "weights": weights,
        "scales": scales,
        "axes": np.array([1, 2]),
        "zero": np.float32(0),
        "steps": np.float32(255),
        "column_sums": weights.sum(axis=0, dtype=np.int32),
    }
    return graph(nodes, constants)


def graph(nodes: list[Any], constants: dict[str, Any]) -> ModelProto:
    """Return a model from ``x`` [batch, tokens, width] to ``y``."""
    width, outputs = constants["weights"].shape
    return helper.make_model(
        helper.make_graph(
            nodes,
            "product",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "tokens", width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "tokens", outputs])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)],
        ir_version=10,
    )


def session(model: ModelProto) -> Any:
    """Return a session with one thread."""
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


if __name__ == "__main__":
    main()
