"""int8: the same numbers as ONNX Runtime's own quantizer, and no saturation on any machine."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import numpy_helper

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import Graph, copy
from emo_export.passes.optimize import optimize_text
from emo_export.quantization.dynamic import (
    PAIR_LIMIT,
    WEIGHT_LIMIT,
    products,
    quantize,
    quantize_channels,
    quantize_pairs,
)
from emo_export.torch_export import graph
from emo_runtime.bundle.reader import installed_bundle, open_bundle

Load = Callable[..., Checkpoints]


@pytest.fixture
def optimized(maker: Any, loaded: Load) -> Callable[[str], onnx.ModelProto]:
    def make(pooling: str) -> onnx.ModelProto:
        model = graph(loaded(maker.text(pooling)))["text"]
        return optimize_text(model, heads=4, hidden=64)

    return make


@pytest.fixture
def rows(maker: Any, loaded: Load, few: Evaluation) -> list[Any]:
    return token_ids(loaded(maker.text()).text, few.texts, strip=False)


def answers(model: onnx.ModelProto, rows: list[Any]) -> NDArray[np.float32]:
    session = GraphSession(model)
    return np.stack([session.text(ids)["logits"] for ids in rows])


def weights(model: onnx.ModelProto) -> list[NDArray[np.int8]]:
    tensors = [numpy_helper.to_array(item) for item in model.graph.initializer]
    return [tensor for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim == 2]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_as_onnxruntime_quantizes(
    optimized: Callable[[str], onnx.ModelProto], tmp_path: Path, pooling: str
) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = optimized(pooling)
    source, target = tmp_path / "source.onnx", tmp_path / "target.onnx"
    onnx.save(model, source)
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Attention"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": 1, "MatMulConstBOnly": True},
    )
    theirs = weights(onnx.load(target))  # those of the head's Gemm too
    found = Counter(node.op_type for node in quantize(model).graph.node)
    assert found["MatMulInteger"] == len(products(model))
    index = Graph(model)
    for name in products(model):
        weight = index.constant(index.maker[name].input[1])
        ours = quantize_channels(weight, WEIGHT_LIMIT).values
        assert any(
            ours.shape == other.shape and np.abs(ours.astype(int) - other).max() <= 1
            for other in theirs
        )


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_int8_is_small_and_near(
    optimized: Callable[[str], onnx.ModelProto], rows: list[Any], pooling: str
) -> None:
    model = optimized(pooling)
    small = quantize(model)
    found = Counter(node.op_type for node in small.graph.node)
    left = [
        node
        for node in small.graph.node
        if node.op_type in {"MatMul", "Attention"}
        and node.input[1] in {tensor.name for tensor in small.graph.initializer}
    ]
    assert not left
    assert found["MatMulInteger"] == len(products(model))
    expected, answered = answers(model, rows), answers(small, rows)
    assert 0 < np.abs(answered - expected).max() < 0.3
    assert (expected.argmax(1) == answered.argmax(1)).mean() > 0.9


def test_kept_products_stay_exact(
    optimized: Callable[[str], onnx.ModelProto], rows: list[Any]
) -> None:
    model = optimized("cls")
    everything = frozenset(products(model))
    assert np.array_equal(
        answers(quantize(model, keep=everything), rows), answers(copy(model), rows)
    )
    first = frozenset(products(model)[:1])
    found = Counter(node.op_type for node in quantize(model, keep=first).graph.node)
    assert found["MatMulInteger"] == len(everything) - 1


@example(np.array([[1e-45, 0.0, 1.0]], np.float32))
@example(np.array([[63.5], [64.5]], np.float32))
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-1e4, 1e4, width=32),
    )
)  # fmt: skip
def test_pairs_keep_half_a_step(weight: NDArray[np.float32]) -> None:
    channels = quantize_pairs(weight)
    values = np.abs(channels.values.astype(int))
    assert values.max() <= 127
    assert (values[0:-1:2] + values[1::2] <= PAIR_LIMIT).all()
    error = np.abs(channels.values * channels.scales.astype(np.float64) - weight)
    assert (error <= channels.scales * 0.5001 + 1e-30).all()


def test_pairs_are_finer_than_seven_bits() -> None:
    weight = np.random.default_rng(0).standard_normal((384, 64)).astype(np.float32)
    ratio = quantize_channels(weight, WEIGHT_LIMIT).scales / quantize_pairs(weight).scales
    assert ratio.min() > 1
    assert ratio.mean() > 1.3


def vpmaddubsw(activations: NDArray[np.uint8], weights: NDArray[np.int8]) -> NDArray[np.int64]:
    """The product of [rows, in] and [in, out] as x86 without VNNI computes it.

    Pairs of neighbouring products are added into 16 bits with saturation (Intel SDM, VPMADDUBSW).
    """
    wide = activations.astype(np.int64)[:, :, None] * weights.astype(np.int64)[None]
    pairs = wide[:, 0::2] + wide[:, 1::2]
    return np.clip(pairs, -32768, 32767).sum(axis=1)


@pytest.mark.parametrize(
    ("make", "saturates"),
    [
        (quantize_channels, False),
        (quantize_pairs, False),
        (lambda weight: quantize_channels(weight, 127), True),
    ],
)
def test_pairs_do_not_saturate_without_vnni(make: Any, saturates: bool) -> None:
    random = np.random.default_rng(3)
    weight = random.standard_normal((256, 32)).astype(np.float32)
    weight[:2] = 5.0  # a pair of the largest weights
    weights = make(weight).values
    activations = random.integers(0, 256, (64, 256)).astype(np.uint8)
    # The worst there is: full activations on the largest weights of either sign.
    activations[0], activations[1] = 255, np.where(weights[:, 0] > 0, 255, 0)
    exact = activations.astype(np.int64) @ weights.astype(np.int64)
    assert (vpmaddubsw(activations, weights) != exact).any() == saturates


@pytest.mark.parametrize("name", ["emo-es", "emo-es-research", "emo-es-small"])
def test_products_of_shipped_bundles_do_not_saturate(name: str) -> None:
    """A gate on a machine with VNNI can't see it: full activations on the weights of each pair."""
    bundle = open_bundle(installed_bundle(name))
    found = 0
    for item in bundle.manifest.graphs.values():
        if "int8" not in item.variants:
            continue
        model = onnx.load(bundle.path / item.variants["int8"].file)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type != "MatMulInteger":
                continue
            weights = numpy_helper.to_array(constants[node.input[1]]).astype(int)
            pairs = weights[0 : len(weights) // 2 * 2].reshape(-1, 2, weights.shape[1])
            assert 255 * np.maximum(pairs, 0).sum(1).max() <= 32_767
            assert 255 * np.minimum(pairs, 0).sum(1).min() >= -32_768
            found += 1
    assert found >= 8
