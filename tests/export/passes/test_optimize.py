"""Each exact rewrite leaves a graph that answers as the untouched one, and does what it says."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.compare import run_fusion
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import clean, copy, encode
from emo_export.passes.cls_only import keep_cls_only
from emo_export.passes.drop_position_ids import drop_position_ids
from emo_export.passes.fold_linear import fold_linear
from emo_export.passes.fold_token_types import fold_token_types
from emo_export.passes.optimize import optimize_fusion, optimize_text
from emo_export.passes.split_gemm import split_large_gemms
from emo_export.quantization.variants import optimize, variant
from emo_export.torch_export import graph
from emo_runtime.ort.session import load_onnxruntime

Load = Callable[..., Checkpoints]
EXACT = 1e-5


def difference(one: onnx.ModelProto, other: onnx.ModelProto, rows: list[Any]) -> float:
    """Largest difference of any output over rows of different lengths, padded ones included."""
    sessions = [GraphSession(model, plain=True) for model in (one, other)]
    longest = max(len(ids) for ids in rows)
    batch = {
        "input_ids": np.stack([np.pad(ids, (0, longest - len(ids))) for ids in rows]),
        "attention_mask": np.stack(
            [np.pad(np.ones_like(ids), (0, longest - len(ids))) for ids in rows]
        ),
    }
    found = [session.run(**batch) for session in sessions]
    found += [session.text(rows[0]) for session in sessions]
    pairs = [(found[0], found[1]), (found[2], found[3])]
    return max(float(np.abs(a[name] - b[name]).max()) for a, b in pairs for name in a)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


@pytest.fixture
def text_graph(maker: Any, loaded: Load, few: Evaluation) -> Callable[[str], Any]:
    def make(kind: str) -> Any:
        text = maker.text("cls" if kind == "shared" else kind)
        fusion = maker.fusion(text) if kind == "shared" else None
        checkpoints = loaded(text, None, fusion)
        rows = token_ids(checkpoints.text, few.texts, strip=False)
        return graph(checkpoints)["text"], rows

    return make


@pytest.mark.parametrize("kind", ["cls", "mean", "shared"])
@pytest.mark.parametrize("embedding_fused", [True, False])
def test_optimized_text_graph(
    text_graph: Callable[[str], Any], kind: str, embedding_fused: bool
) -> None:
    untouched, rows = text_graph(kind)
    optimized = optimize_text(untouched, heads=4, hidden=64, embedding_fused=embedding_fused)
    assert difference(untouched, optimized, rows) < EXACT
    found = operators(optimized)
    assert found["Attention"] + found["MultiHeadAttention"] == 2
    assert found["Gelu"] == 2
    assert found["EmbedLayerNormalization"] == embedding_fused
    assert not found["SkipLayerNormalization"]
    assert found["MultiHeadAttention"] == (kind == "cls")  # only there is a layer cut
    assert sum(found.values()) < sum(operators(untouched).values()) / 3


@pytest.mark.parametrize("precision", ["fp32", "int8", "fp16"])
def test_residuals_stay_apart_on_the_cpu(
    maker: Any,
    loaded: Load,
    few: Evaluation,
    as_loaded: Callable[[onnx.ModelProto], onnx.ModelProto],
    precision: Any,
) -> None:
    checkpoints = loaded(maker.text("mean"))
    optimized = optimize(graph(checkpoints), checkpoints, ("fp32", "int8", "fp16"))
    model = variant(optimized, "text", precision)
    seen = operators(as_loaded(model))
    assert (seen["SkipLayerNormalization"] == 0) == (precision != "fp16")
    if precision == "fp32":
        rows = token_ids(checkpoints.text, few.texts, strip=False)
        assert difference(optimized.graphs["text"], model, rows) == 0


def test_position_ids_are_dropped_only_where_they_count_from_zero(
    text_graph: Callable[[str], Any],
) -> None:
    untouched, rows = text_graph("mean")
    optimized = optimize_text(untouched, heads=4, hidden=64)
    assert difference(untouched, optimized, rows) < EXACT
    assert not {"Shape", "Slice"} & set(operators(optimized))
    assert not drop_position_ids(optimized)


def test_token_types_go_into_the_position_table(text_graph: Callable[[str], Any]) -> None:
    untouched, rows = text_graph("cls")
    folded = copy(untouched)
    assert fold_token_types(folded)
    assert difference(untouched, folded, rows) < EXACT
    assert operators(folded)["Add"] == operators(untouched)["Add"] - 1
    assert not fold_token_types(folded)  # there is nothing left to fold


def test_last_layer_for_the_first_token_only(text_graph: Callable[[str], Any]) -> None:
    untouched, rows = text_graph("cls")
    cut = optimize_text(untouched, heads=4, hidden=64)
    session = GraphSession(with_output(cut, last_of(cut, "LayerNormalization")), plain=True)
    found = session.run(
        input_ids=rows[0][None], attention_mask=np.ones((1, len(rows[0])), np.int64)
    )
    assert found["probe"].shape == (1, 1, 64)
    assert difference(untouched, cut, rows) < EXACT


@pytest.mark.parametrize("kind", ["mean", "shared"])
def test_last_layer_stays_whole_where_all_of_it_is_read(
    text_graph: Callable[[str], Any], kind: str
) -> None:
    untouched, _ = text_graph(kind)
    optimized = optimize_text(untouched, heads=4, hidden=64)
    before = encode(optimized)
    assert not keep_cls_only(optimized)
    assert encode(optimized) == before


def last_of(model: onnx.ModelProto, op_type: str) -> str:
    return [node.output[0] for node in model.graph.node if node.op_type == op_type][-1]


def with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    other = copy(model)
    other.graph.node.append(helper.make_node("Identity", [name], ["probe"]))
    other.graph.output.append(helper.make_tensor_value_info("probe", 1, None))
    return other


@pytest.fixture
def features() -> tuple[Any, Any]:
    random = np.random.default_rng(1)
    mfcc = (30 * random.standard_normal((9, 128)) - 20).astype(np.float32)
    return mfcc, random.standard_normal((9, 64)).astype(np.float32)


def test_plain_fusion_network_becomes_two_layers(
    maker: Any, loaded: Load, features: tuple[Any, Any]
) -> None:
    encoder = maker.encoder()
    untouched = graph(loaded(maker.text(), encoder, maker.fusion(encoder)))["fusion"]
    folded = optimize_fusion(untouched)
    assert operators(folded) == {"Concat": 1, "Gemm": 2, "Relu": 1}
    shapes = [list(tensor.dims) for tensor in folded.graph.initializer]
    assert [128 + 64, 64] in shapes
    expected, found = (run_fusion(model, *features) for model in (untouched, folded))
    assert np.abs(found - expected).max() < EXACT * np.abs(expected).max()


@pytest.mark.parametrize("variant", ["plain", "attention", "multihead"])
@pytest.mark.parametrize("present", [False, True])
def test_folded_fusion_network(
    maker: Any, loaded: Load, features: tuple[Any, Any], variant: str, present: bool
) -> None:
    encoder = maker.encoder()
    fusion = maker.fusion(encoder, variant=variant, present_input=present)
    untouched = graph(loaded(maker.text(), encoder, fusion))["fusion"]
    folded = optimize_fusion(untouched)
    for there in [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)]:
        expected, found = (run_fusion(model, *features, there) for model in (untouched, folded))
        assert np.abs(found - expected).max() < EXACT * max(1, np.abs(expected).max())
    # The standardisation is gone in every variant.
    assert operators(folded)["Sub"] <= (2 if present else 0)


def test_nothing_linear_to_fold() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Relu", ["audio"], ["logits"])],
            "g",
            [helper.make_tensor_value_info("audio", 1, ["batch", 3])],
            [helper.make_tensor_value_info("logits", 1, ["batch", 3])],
        )
    )
    before = encode(model)
    assert not fold_linear(model)
    assert encode(model) == before


def test_clean_leaves_the_answers_and_no_trace(text_graph: Callable[[str], Any]) -> None:
    untouched, rows = text_graph("mean")
    optimized = optimize_text(untouched, heads=4, hidden=64)
    cleaned = copy(optimized)
    clean(cleaned)
    assert difference(optimized, cleaned, rows) == 0
    data = encode(cleaned)
    assert b"/model/" not in data
    assert b"pytorch" not in data
    onnx.checker.check_model(cleaned)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_large_gemm_becomes_a_product_and_a_sum(transposed: int) -> None:
    random = np.random.default_rng(0)
    weight = random.normal(size=(256, 300)).astype(np.float32)
    bias = random.normal(size=300).astype(np.float32)
    values = random.normal(size=(5, 256)).astype(np.float32)

    def model(**attributes: Any) -> onnx.ModelProto:
        kept = weight.T if attributes.get("transB") else weight
        return helper.make_model(
            helper.make_graph(
                [helper.make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)],
                "gemm",
                [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 256])],
                [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 300])],
                [
                    onnx.numpy_helper.from_array(np.ascontiguousarray(kept), "w"),
                    onnx.numpy_helper.from_array(bias, "b"),
                ],
            ),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=9,
        )

    rewritten = model(transB=transposed)
    assert split_large_gemms(rewritten) == 1
    assert operators(rewritten) == {"MatMul": 1, "Add": 1}
    session = load_onnxruntime().InferenceSession(
        encode(rewritten), providers=["CPUExecutionProvider"]
    )
    exact = values.astype(np.float64) @ weight + bias
    # The bound of a float32 sum of 256 products in any order, element by element.
    bound = 258 * 2**-24 * (np.abs(values).astype(np.float64) @ np.abs(weight) + np.abs(bias))
    assert (np.abs(session.run(None, {"x": values})[0] - exact) <= bound).all()
    assert split_large_gemms(model(transB=transposed, alpha=0.5)) == 0
