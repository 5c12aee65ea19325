"""The standard ``Attention`` of an int8 graph makes the same bits as ONNX Runtime's QAttention."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import CONTRIB, Graph, clean, copy, encode
from emo_export.passes.optimize import optimize_text
from emo_export.quantization.dynamic import products, quantize, quantize_channels
from emo_export.torch_export import OPSET, graph

Load = Callable[..., Checkpoints]
Answers = Mapping[str, NDArray[np.float32]]


@pytest.fixture
def rows(maker: Any, loaded: Load, few: Evaluation) -> list[NDArray[np.int64]]:
    return token_ids(loaded(maker.text()).text, few.texts, strip=False)


@pytest.fixture
def optimized(maker: Any, loaded: Load) -> Callable[..., onnx.ModelProto]:
    """``kind``: ``cls``, ``mean``, or ``shared`` with both outputs."""

    def make(kind: str, *, embedding_fused: bool = True) -> onnx.ModelProto:
        text = maker.text("cls" if kind == "shared" else kind)
        checkpoints = loaded(text, None, maker.fusion(text) if kind == "shared" else None)
        return optimize_text(
            graph(checkpoints)["text"], heads=4, hidden=64, embedding_fused=embedding_fused
        )

    return make


def attentions(model: onnx.ModelProto, domain: str) -> list[Any]:
    return [
        node for node in model.graph.node if node.op_type == "Attention" and node.domain == domain
    ]


def with_qattention(optimized: onnx.ModelProto) -> onnx.ModelProto:
    """Quantized, but with product and attention in ONNX Runtime's one operator."""
    kept = frozenset(node.output[0] for node in attentions(optimized, CONTRIB))
    model = quantize(optimized, keep=kept)
    index = Graph(model)
    for node in attentions(model, CONTRIB):
        name, (states, weight, bias, mask) = node.output[0], node.input
        channels = quantize_channels(index.constant(weight))
        values = index.add_constant(f"{name}.values", channels.values)
        scales = index.add_constant(f"{name}.scales", channels.scales)
        zeros = index.add_constant(f"{name}.zeros", np.zeros(channels.scales.shape, np.int8))
        u8, scale, zero = f"{name}.of", f"{name}.of.scale", f"{name}.of.zero"
        attention = helper.make_node(
            "QAttention", [u8, values, bias, scale, scales, mask, zero, zeros], [name],
            domain=CONTRIB,
        )  # fmt: skip
        attention.attribute.extend(node.attribute)
        quantizer = helper.make_node("DynamicQuantizeLinear", [states], [u8, scale, zero])
        index.replace_node(node, [quantizer, attention])
    return model


def padded(rows: list[NDArray[np.int64]], side: str) -> dict[str, NDArray[np.int64]]:
    longest = max(len(ids) for ids in rows)
    ids, mask = (np.zeros((len(rows), longest), np.int64) for _ in range(2))
    for number, row in enumerate(rows):
        place = slice(len(row)) if side == "right" else slice(longest - len(row), None)
        ids[number, place], mask[number, place] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", ["cls", "mean", "shared"])
def test_the_same_bits_as_qattention(
    optimized: Callable[..., onnx.ModelProto],
    rows: list[NDArray[np.int64]],
    kind: str,
    plain: bool,
) -> None:
    exact = optimized(kind)
    theirs, ours = with_qattention(exact), quantize(exact)
    expected, found = (GraphSession(model, plain=plain) for model in (theirs, ours))
    one = np.array([rows[0][0]])
    assert len(one) < min(len(ids) for ids in rows) < max(len(ids) for ids in rows)
    for ids in [one, *rows]:
        equal(expected.text(ids), found.text(ids))
    for side in ("right", "left"):
        batch = padded(rows, side)
        assert not batch["attention_mask"].all()
        equal(expected.run(**batch), found.run(**batch))


def equal(expected: Answers, found: Answers) -> None:
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        assert np.isfinite(values).all()
        assert np.array_equal(values, found[name])


def test_the_mask_is_made_once(optimized: Callable[..., onnx.ModelProto]) -> None:
    found = attentions(quantize(optimized("mean")), "")
    assert len({node.input[3] for node in found}) == 1 < len(found)


def test_without_a_mask(
    optimized: Callable[..., onnx.ModelProto], rows: list[NDArray[np.int64]]
) -> None:
    exact = optimized("mean")
    unmasked = copy(exact)
    for node in attentions(unmasked, CONTRIB):
        del node.input[3:]
    expected, found = (GraphSession(quantize(model)) for model in (exact, unmasked))
    assert all(len(node.input) == 3 for node in attentions(quantize(unmasked), ""))
    equal(expected.text(rows[0]), found.text(rows[0]))


@pytest.mark.parametrize("kind", ["cls", "mean", "shared"])
@pytest.mark.parametrize("embedding_fused", [True, False])
def test_the_opset_is_that_of_the_operator(
    optimized: Callable[..., onnx.ModelProto], kind: str, embedding_fused: bool
) -> None:
    """Every other operator has the version that ONNX defines for that opset."""
    exact = optimized(kind, embedding_fused=embedding_fused)
    model = quantize(exact)
    clean(model)
    onnx.checker.check_model(model, full_check=True)
    imports = {item.domain: item.version for item in model.opset_import}
    assert imports == {"": 23, CONTRIB: 1}
    assert model.ir_version == helper.find_min_ir_version_for([helper.make_opsetid("", 23)])
    assert not attentions(model, CONTRIB)


def test_a_kept_attention_stays_fused(
    optimized: Callable[..., onnx.ModelProto], rows: list[NDArray[np.int64]]
) -> None:
    exact = optimized("mean")
    first, last = (node.output[0] for node in attentions(exact, CONTRIB))
    model = quantize(exact, keep=frozenset({first}))
    assert [node.output[0] for node in attentions(model, CONTRIB)] == [first]
    assert [node.output[0] for node in attentions(model, "")] == [last]
    expected, found = GraphSession(exact), GraphSession(model)
    for ids in rows:
        assert np.abs(found.text(ids)["logits"] - expected.text(ids)["logits"]).max() < 0.3


def test_without_the_operator_nothing_changes(
    optimized: Callable[..., onnx.ModelProto],
) -> None:
    exact = optimized("mean")
    all_kept = quantize(exact, keep=frozenset(products(exact)))
    assert encode(all_kept) == encode(copy(exact))
    fused = frozenset(node.output[0] for node in attentions(exact, CONTRIB))
    others = quantize(exact, keep=fused)
    assert {item.version for item in others.opset_import if item.domain == ""} == {OPSET}
    assert others.ir_version == exact.ir_version


def test_heads_and_scale(
    optimized: Callable[..., onnx.ModelProto], rows: list[NDArray[np.int64]]
) -> None:
    exact = optimized("mean")
    scaled = copy(exact)
    for node in attentions(scaled, CONTRIB):
        node.attribute.append(helper.make_attribute("scale", 0.01))
    for model, scale in ((exact, {}), (scaled, {"scale": pytest.approx(0.01)})):
        for node in attentions(quantize(model), ""):
            settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            assert settings == {"q_num_heads": 4, "kv_num_heads": 4, **scale}
    answers = [
        np.stack([session.text(ids)["logits"] for ids in rows])
        for session in map(GraphSession, (exact, scaled, quantize(scaled)))
    ]
    usual, expected, found = answers
    assert np.abs(found - expected).max() < 0.3 < np.abs(usual - expected).max()


def test_an_attention_that_does_more_is_refused(
    optimized: Callable[..., onnx.ModelProto],
) -> None:
    backwards, biased = optimized("mean"), optimized("mean")
    attentions(backwards, CONTRIB)[0].attribute.append(helper.make_attribute("unidirectional", 1))
    attentions(biased, CONTRIB)[0].input.extend(["", "a_bias"])
    for model in (backwards, biased):
        with pytest.raises(ValueError, match="no standard form"):
            quantize(model)


def test_onnxruntime_fuses_product_and_bias(
    optimized: Callable[..., onnx.ModelProto], as_loaded: Callable[[onnx.ModelProto], Any]
) -> None:
    seen = as_loaded(quantize(optimized("mean")))
    maker = {name: node for node in seen.graph.node for name in node.output}
    splits = [node for node in seen.graph.node if node.op_type == "Split"]
    assert len(splits) == len(attentions(seen, "")) == 2
    for node in splits:
        product = maker[node.input[0]]
        assert product.op_type == "DynamicQuantizeMatMul"
        assert product.input[4]  # the bias
