"""The repair of int8 keeps the parts in float32 that lose most."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from emo_export.evaluation.gate import GateError
from emo_export.onnx_graph import Graph
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_export.quantization.embedding import _word_lookups
from emo_export.quantization.mixed_precision import group_parts


def spoil(model: onnx.ModelProto) -> bool:
    """Quantize a word table so badly that nothing is left of it."""
    graph = Graph(model)
    for gather in _word_lookups(graph):
        name = gather.input[0]
        zeros = np.zeros_like(numpy_helper.to_array(graph.constants[name]))
        graph.constants[name].CopyFrom(numpy_helper.from_array(zeros, name))
    return True


@pytest.fixture
def options(maker: Any, few_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("emo_export.quantization.variants.is_large", lambda _: True)
    monkeypatch.setattr("emo_export.quantization.variants.quantize_rows", spoil)

    def make(gate: Gate) -> Options:
        return Options(
            Sources(str(maker.text("cls"))),
            tmp_path / "bundle",
            Identity("test", "1.0", "LicenseRef-test", "For tests only."),
            precisions=("int8",),
            evaluate=few_csv,
            gate=gate,
        )

    return make


def test_the_word_table_is_kept_where_it_loses_most(options: Any) -> None:
    report = export(options(Gate(min_agreement=0.9, max_f1_loss=1, max_change=0.03)))
    assert report.findings.word_tables == ("text",)
    assert not report.findings.kept
    assert report.findings.tried.startswith("The repair of the graph 'text' tried 1 graphs")
    assert "The word table of `text` stays in float32." in report.findings.remarks()


def test_a_gate_that_is_never_met_says_how_far_the_best_attempt_came(
    options: Any, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match=r"mean change .* 0\.\d+ > 1e-09.* tried \d+ graphs; its"):
        export(options(Gate(min_agreement=0, max_f1_loss=1, max_change=1e-9)))
    assert not list(tmp_path.glob("*bundle*"))


@given(st.integers(0, 400))
def test_parts_of_large_graphs_are_grouped(count: int) -> None:
    parts = [f"product{number}" for number in range(count)]
    groups = group_parts(parts)
    assert [part for group in groups for part in group] == parts
    if count <= 80:
        assert all(len(group) == 1 for group in groups)
    else:
        assert len(groups) <= 32
        assert len({len(group) for group in groups[:-1]}) <= 1
