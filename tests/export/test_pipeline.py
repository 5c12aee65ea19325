"""The whole export, and what the runtime makes of the bundle."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.gate import GateError
from emo_export.evaluation.inputs import Inputs, Sound
from emo_export.evaluation.reference import reference
from emo_export.evaluation.rows import Evaluation, golden_clip, shipped_sentences
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_export.report import STEPS, Report
from emo_export.verify_bundle import compare_with_reference
from emo_models.evaluation.metrics import softmax
from emo_runtime import EmotionRecognizer
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.errors import BundleError, EmoError

Load = Callable[..., Checkpoints]
NO_GATE = Gate(enforced=False)
IDENTITY = Identity("test", "1.0", "LicenseRef-test", "For tests only.")


@pytest.fixture
def options(maker: Any, few_csv: Path, tmp_path: Path) -> Callable[..., Options]:
    def make(
        text: Path, encoder: Path | None = None, fusion: Path | None = None, **changes: Any
    ) -> Options:
        sources = Sources(str(text), encoder and str(encoder), fusion and str(fusion))
        plain = Options(sources, tmp_path / "bundle", IDENTITY, evaluate=few_csv, gate=NO_GATE)
        return replace(plain, **changes)

    return make


def opened(report: Report) -> EmotionRecognizer:
    return EmotionRecognizer.open(report.output, providers="cpu", threads=1)


def test_float32_bundle_answers_as_the_checkpoint(
    maker: Any, options: Callable[..., Options], loaded: Load, few: Evaluation
) -> None:
    encoder = maker.encoder()
    paths = (maker.text("cls"), encoder, maker.fusion(encoder, present_input=True))
    report = export(options(*paths))
    assert report.tasks == ("text", "fusion", "audio")
    checkpoints = loaded(*paths)
    clip = golden_clip()
    recognizer = opened(report)
    mfcc = MeanMfcc(recognizer.manifest.audio)(load_audio(clip, 22_050))
    expected = reference(
        checkpoints, Inputs(few.texts, Sound.of_vectors(np.tile(mfcc, (len(few.rows), 1))))
    )
    for text, logits, fused in zip(few.texts, expected.text, expected.fusion, strict=True):
        scores = list(recognizer.recognize(text=text).scores.values())
        assert np.abs(scores - softmax(logits, 1.25)).max() < 1e-4
        scores = list(recognizer.recognize(text=f"  {text} ", audio=clip).scores.values())
        assert np.abs(scores - softmax(fused, 1.5)).max() < 1e-3
    assert recognizer.self_test() < 1e-4


@pytest.mark.parametrize("shared", [True, False])
def test_int8_bundle_passes_its_own_test(
    maker: Any, options: Callable[..., Options], shared: bool
) -> None:
    text = maker.text("mean")
    encoder = None if shared else maker.encoder()
    fusion = maker.fusion(encoder or text, n_mfcc=56)
    steps: list[str] = []
    report = export(
        options(text, encoder, fusion, precisions=("int8", "fp32")),
        lambda step: steps.append(step.name),
    )
    assert tuple(steps) == STEPS
    recognizer = opened(report)
    graphs = recognizer.manifest.graphs
    assert set(graphs) == ({"text", "fusion"} if shared else {"text", "encoder", "fusion"})
    assert set(graphs["text"].variants) == {"int8", "fp32"}
    assert set(graphs["fusion"].variants) == {"fp32"}
    assert set(recognizer.manifest.tokenizers) == {"text"}
    assert 0 < recognizer.self_test() < 0.05
    tasks = [item.task for item in report.findings.golden.cases]
    assert tasks.count("text") >= 3
    assert tasks.count("fusion") >= 3
    for item in report.findings.comparisons:
        if item.precision == "fp32":
            assert item.agreement == 1
            assert item.largest_logit_difference < 1e-4


def test_text_alone(maker: Any, options: Callable[..., Options]) -> None:
    report = export(options(maker.text("cls"), precisions=("fp16",)))
    assert report.tasks == ("text",)
    with opened(report) as recognizer:
        assert recognizer.manifest.audio is None
        assert recognizer.recognize(text="Estoy muy contenta.").label in recognizer.labels
    [comparison] = report.findings.comparisons
    assert comparison.agreement > 0.95
    assert 0 < comparison.largest_probability_difference < 0.05


def test_same_bytes_for_the_same_checkpoint(
    maker: Any, options: Callable[..., Options], tmp_path: Path
) -> None:
    encoder = maker.encoder()
    paths = [maker.text("cls"), encoder, maker.fusion(encoder)]
    moved = [Path(shutil.copytree(path, tmp_path / f"moved{path.name}")) for path in paths]
    for number, those in enumerate((paths, moved)):
        export(options(*those, output=tmp_path / f"bundle{number}", precisions=("int8", "fp16")))
    names = sorted(path.name for path in (tmp_path / "bundle0").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "bundle1").iterdir())
    for name in names:
        first, second = ((tmp_path / f"bundle{n}" / name).read_bytes() for n in (0, 1))
        assert first == second, name
        assert str(tmp_path).encode() not in first


def test_manifest_says_what_was_measured(
    maker: Any, options: Callable[..., Options], tmp_path: Path
) -> None:
    report = export(options(maker.text("cls"), precisions=("int8",)))
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    verification = manifest["verification"]
    assert verification["gate"] == {
        "enforced": False,
        "max_change": 0.02,
        "max_f1_loss": 0.005,
        "min_agreement": 0.99,
    }
    assert verification["comparisons"] == [item.as_json() for item in report.findings.comparisons]
    assert verification["evaluated"] == "few.csv (42 rows)"
    assert manifest["provenance"]["checkpoints_sha256"].keys() == {"text"}
    card = (tmp_path / "bundle" / "CARD.md").read_text()
    assert "LicenseRef-test" in card
    assert "| text | int8 | 42 |" in card
    json.dumps(report.as_json())


def test_gate_keeps_the_worst_products_in_float32(
    maker: Any, options: Callable[..., Options]
) -> None:
    """A gate just above what plain int8 reaches is met by keeping some products."""
    text = maker.outliers()
    plain = export(options(text, precisions=("int8",)))
    [before] = plain.findings.comparisons
    assert not plain.findings.kept
    assert before.agreement < 1
    gate = Gate(min_agreement=before.agreement + 1e-9, max_f1_loss=1, max_change=1)
    repaired = export(options(text, precisions=("int8",), gate=gate, force=True))
    [after] = repaired.findings.comparisons
    kept = repaired.findings.kept["text"]
    assert after.agreement > before.agreement
    assert 0 < len(kept) <= repaired.products["text"] / 2
    assert {item.precision for item in repaired.speeds} == {"int8", "int8 without repair"}
    with opened(repaired) as recognizer:
        assert recognizer.manifest.verification["kept_in_float32"] == {"text": list(kept)}


def test_measured_again_later(
    maker: Any, options: Callable[..., Options], few_csv: Path, tmp_path: Path
) -> None:
    report = export(options(maker.text("cls"), precisions=("int8", "fp16")))
    bundle = open_bundle(tmp_path / "bundle")
    found = compare_with_reference(bundle, maker.text("cls"), few_csv, 0.0)
    assert found["evaluated"] == "few.csv (42 rows)"
    assert found["comparisons"] == [item.as_json() for item in report.findings.comparisons]
    half = compare_with_reference(bundle, maker.text("cls"), few_csv, 0.0, "fp16")
    assert [item["precision"] for item in half["comparisons"]] == ["fp16"]
    with pytest.raises(BundleError, match="made from text weights"):
        compare_with_reference(bundle, maker.text("mean"), few_csv, 0.0)


def test_missed_gate_writes_nothing(
    maker: Any, options: Callable[..., Options], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_export.quantization.mixed_precision._LARGEST_KEPT_SHARE", 0.0)
    strict = Gate(min_agreement=1.0, max_f1_loss=0.0)
    with pytest.raises(GateError, match=r"label agreement 0\.\d+ < 1.0.*--no-gate"):
        export(options(maker.outliers(), precisions=("int8",), gate=strict))
    assert not list(tmp_path.glob("*bundle*"))


def test_calibration_comes_with_the_bundle(
    maker: Any, options: Callable[..., Options], few: Evaluation, tmp_path: Path
) -> None:
    rows = [row for row in shipped_sentences().rows[::3] if row not in few.rows]
    path = tmp_path / "calibrate.csv"
    lines = ["text,label", *(f'"{row.text}",{row.label}' for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = export(options(maker.text("mean"), calibrate=path))
    [found] = report.findings.calibrations
    assert found.temperature_before == 1.25
    with opened(report) as recognizer:
        assert recognizer.manifest.tasks["text"].temperature == found.temperature
        assert recognizer.self_test() < 1e-4


def test_rows_that_do_not_fit_are_refused_before_the_graph_is_made(
    maker: Any, options: Callable[..., Options], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_export.pipeline.graph", lambda _: pytest.fail("the graph was made"))
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nHola,joy\nNo,faer\n", encoding="utf-8")
    with pytest.raises(EmoError, match="row 2: unknown label 'faer'"):
        export(options(maker.text(), evaluate=rows))
    rows.write_text("text\nHola\nNo\n", encoding="utf-8")
    with pytest.raises(EmoError, match=r"rows\.csv \(--calibrate\): every row needs one of"):
        export(options(maker.text(), calibrate=rows))
