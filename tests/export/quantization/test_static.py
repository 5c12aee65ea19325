"""int8-qdq: fitted to sentences that nothing is measured on, by NNCF or not at all."""

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from emo_export import pipeline
from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.rows import (
    SHIPPED,
    Evaluation,
    shipped_sentences,
    split_quantization_rows,
)
from emo_export.onnx_graph import Graph, encode
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.packaging import manifest as describe
from emo_export.pipeline import export
from emo_export.quantization import variants
from emo_export.quantization.variants import optimize, static_variant
from emo_export.torch_export import graph
from emo_export.verify_bundle import compare_with_reference
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.errors import EmoError

needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="nncf is not installed: extra [qdq]"
)


@pytest.fixture
def options(maker: Any, few_csv: Path, tmp_path: Path) -> Options:
    return Options(
        Sources(str(maker.text("cls"))),
        tmp_path / "bundle",
        Identity("test", "1.0", "LicenseRef-test", "For tests only."),
        precisions=("int8", "int8-qdq"),
        evaluate=few_csv,
        gate=Gate(enforced=False),
    )


@pytest.fixture
def without_nncf(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The whole export with a quantizer that changes nothing; how many rows it was fitted to."""
    seen: list[int] = []

    def quantize_static(model: Any, rows: Any) -> Any:
        seen.append(len(rows))
        return model

    monkeypatch.setattr(variants, "quantize_static", quantize_static)
    monkeypatch.setattr(pipeline, "require_nncf", lambda: None)
    monkeypatch.setattr(describe, "version", lambda name: f"that of {name}")
    return seen


def test_what_it_is_fitted_to_is_not_evaluated_on(few: Evaluation) -> None:
    shipped = shipped_sentences()
    kept, fitted = split_quantization_rows(shipped)
    assert not set(kept.texts) & set(fitted.texts)
    assert set(kept.texts) | set(fitted.texts) == set(shipped.texts)
    assert kept.name == SHIPPED
    assert len(kept.rows) >= 500
    assert len(set(Counter(row.label for row in fitted.rows).values())) == 1
    own, fitted = split_quantization_rows(few)
    assert own is few
    assert len(fitted.rows) > 30
    assert not {text.strip() for text in few.texts} & {text.strip() for text in fitted.texts}


def test_refused_without_nncf_before_any_work(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "nncf" else find(name)
    )
    steps: list[str] = []
    with pytest.raises(EmoError, match=r'needs NNCF.*pip install "emo-runtime\[qdq\]"'):
        export(options, lambda step: steps.append(step.name))
    assert not steps
    assert not options.output.exists()


def test_a_separate_variant(
    options: Options, without_nncf: list[int], maker: Any, tmp_path: Path
) -> None:
    some = shipped_sentences().rows
    rows = [row for row in some[::7] if "," not in row.text and '"' not in row.text]
    evaluate = tmp_path / "rows.csv"
    lines = ["text,label", *(f"{row.text},{row.label}" for row in rows)]
    evaluate.write_text("\n".join(lines), encoding="utf-8")
    report = export(replace(options, evaluate=evaluate))
    assert [item.precision for item in report.findings.comparisons] == ["int8", "int8-qdq"]
    assert {item.precision for item in report.speeds} == {"int8"}  # the other is for OpenVINO
    [count] = without_nncf
    assert 30 < count < 42  # those that are evaluated on are left out
    manifest = json.loads((options.output / "manifest.json").read_text())
    said = manifest["verification"]["int8_qdq_fitted_to"]
    assert said == f"sentences that ship ({count} rows)"
    assert said in (options.output / "CARD.md").read_text()
    assert manifest["provenance"]["tools"]["nncf"] == "that of nncf"
    for variant in ("int8", "int8-qdq"):
        with EmotionRecognizer.open(options.output, variant=variant, providers="cpu") as found:
            assert found.precisions("text") == {variant}
    again = compare_with_reference(open_bundle(options.output), maker.text("cls"), evaluate, 0.0)
    assert again["comparisons"] == [item.as_json() for item in report.findings.comparisons]


def test_nothing_of_it_where_it_is_not_asked_for(options: Options) -> None:
    export(replace(options, precisions=("int8",)))
    manifest = json.loads((options.output / "manifest.json").read_text())
    assert "int8_qdq_fitted_to" not in manifest["verification"]
    assert "nncf" not in manifest["provenance"]["tools"]


def test_refused_where_no_sentence_is_left() -> None:
    everything = Evaluation("all.csv", shipped_sentences().rows)
    with pytest.raises(EmoError, match=r"^all\.csv contains every sentence that ships"):
        split_quantization_rows(everything)


@needs_nncf
@pytest.mark.filterwarnings("ignore")  # warnings of NNCF and its libraries
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_quantized_by_nncf(
    maker: Any,
    loaded: Callable[..., Checkpoints],
    few: Evaluation,
    capsys: pytest.CaptureFixture[str],
    pooling: str,
) -> None:
    """Near the checkpoint, in 7 bits, the same every time, and silent."""
    checkpoints = loaded(maker.text(pooling))
    optimized = optimize(graph(checkpoints), checkpoints, ("int8-qdq",))
    _, fitted = split_quantization_rows(few)
    model, again = (
        static_variant(optimized, checkpoints, "text", fitted.texts[:12]) for _ in range(2)
    )
    assert encode(model) == encode(again)
    assert capsys.readouterr().out == ""
    weights = multiplied(model)
    assert len(weights) >= 12  # six in each of two layers
    assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) <= 64
    evaluator = Evaluator.of(checkpoints, few, None)
    [found] = evaluator.compare("int8-qdq", evaluator.ask({"text": model}))
    assert found.agreement > 0.9
    assert found.largest_logit_difference > 0


def multiplied(model: onnx.ModelProto) -> list[NDArray[np.int8]]:
    """The int8 weights of matrix products; the rows of a table that is looked up have 8 bits."""
    found = Graph(model)
    sources = [
        found.made_by(node.input[1], "DequantizeLinear")
        for node in found.nodes
        if node.op_type in {"MatMul", "Gemm"}
    ]
    constants = [None if item is None else found.constant(item.input[0]) for item in sources]
    return [value for value in constants if value is not None]
