"""Bundles with speech graphs: exported, opened, and compared with the checkpoint in PyTorch."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.rows import golden_clip
from emo_export.evaluation.synthetic_clips import CLIPS, SAMPLE_RATE, synthetic_clips
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_export.verify_bundle import compare_with_reference
from emo_models.errors import CheckpointError
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.errors import EmoError
from helpers.reference_features import whisper_numpy

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness")
IDENTITY = Identity("test", "1.0", "LicenseRef-test", "For tests only.")


@pytest.fixture
def options(few_texts: Path, tmp_path: Path) -> Callable[..., Options]:
    def make(sources: Sources, **changes: Any) -> Options:
        plain = Options(sources, tmp_path / "bundle", IDENTITY, gate=Gate(enforced=False))
        text = few_texts if sources.text or sources.encoder else None
        return replace(replace(plain, evaluate=text), **changes)

    return make


def leveled_features(samples: np.ndarray) -> torch.Tensor:
    """Log-mel features of transformers, of sound at -23 dBFS."""
    rms = np.sqrt(np.mean(samples.astype(np.float64) ** 2))
    gain = min(10 ** (-23 / 20) / rms, 10**3)
    return torch.from_numpy(whisper_numpy((samples * gain).astype(np.float32)))


def answer(report: Any, **inputs: Any) -> list[float]:
    with EmotionRecognizer.open(report.output, providers="cpu", threads=1) as recognizer:
        return list(recognizer.recognize(**inputs).scores.values())


@pytest.mark.parametrize("precisions", [("fp32",), ("int8", "fp32")])
def test_a_bundle_of_sound_alone(
    maker: Any, options: Callable[..., Options], loaded: Any, precisions: tuple[str, ...]
) -> None:
    speech = maker.speech()
    report = export(options(Sources(speech=str(speech)), precisions=precisions))
    assert report.tasks == ("audio",)
    manifest = json.loads((Path(report.output) / "manifest.json").read_text())
    assert manifest["schema"] == "emo-bundle/2"
    assert set(manifest["graphs"]) == {"speech"}
    assert manifest["audio"]["level"] == {"target_dbfs": -23.0, "max_gain_db": 60.0}
    assert report.findings.evaluated == f"synthetic speech-like clips of emo-export ({CLIPS} rows)"
    checkpoints: Checkpoints = loaded(speech=speech)
    clip, _ = golden_clip()
    with torch.no_grad():
        _, logits = checkpoints.speech.module(leveled_features(clip))  # type: ignore[union-attr]
    expected = (logits[0] / 1.2).softmax(0).numpy()
    found = answer(report, audio=(clip, SAMPLE_RATE))
    assert np.abs(found - expected).max() < (1e-4 if precisions == ("fp32",) else 0.1)
    by_precision = {item.precision: item for item in report.findings.comparisons}
    assert by_precision["fp32"].largest_logit_difference < 1e-4
    assert by_precision["fp32"].rows == CLIPS
    assert [item.graph for item in report.speeds] == ["speech"] * len(precisions)


def test_all_three_tasks_with_speaker_adaptation(
    maker: Any, options: Callable[..., Options], loaded: Any
) -> None:
    text, speech = maker.text("mean"), maker.speech()
    paths = {"text": text, "fusion": maker.late_fusion(text, speech), "speech": speech}
    report = export(options(Sources(**{name: str(path) for name, path in paths.items()})))
    assert report.tasks == ("text", "fusion", "audio")
    assert [item.task for item in report.findings.comparisons] == ["text", "fusion", "audio"]
    assert all(item.largest_logit_difference < 1e-4 for item in report.findings.comparisons)
    checkpoints = loaded(**paths)
    clip, rate = golden_clip()
    with torch.no_grad():
        embedding, _ = checkpoints.speech.module(leveled_features(clip))
        ids = checkpoints.text.tokenizer("hola", return_tensors="pt")
        states = checkpoints.text.module.bert(**ids)[0].mean(1)
        audio = embedding - checkpoints.speech.module.population_mean
        fused = checkpoints.fusion.module(audio, states, torch.ones(1, 2))
        alone = checkpoints.fusion.module(audio, 0 * states, torch.tensor([[1.0, 0.0]]))
    for inputs, logits in (
        ({"text": "hola", "audio": (clip, rate)}, fused),
        ({"audio": (clip, rate)}, alone),
    ):
        expected = (logits[0] / 1.5).softmax(0).numpy()
        assert np.abs(answer(report, **inputs) - expected).max() < 1e-4
    with EmotionRecognizer.open(report.output, providers="cpu", threads=1) as recognizer:
        assert recognizer.manifest.adaptation is not None
        assert recognizer.manifest.adaptation.weight == 4.0
        speaker = recognizer.speaker()
        recognizer.recognize(audio=(clip, rate), speaker=speaker)
        adapted = recognizer.recognize(audio=(clip, rate), speaker=speaker)
    mean = (4 * checkpoints.speech.module.population_mean + embedding[0]) / 5
    with torch.no_grad():
        logits = checkpoints.fusion.module(embedding - mean, 0 * states, torch.tensor([[1.0, 0.0]]))
    expected = (logits[0] / 1.5).softmax(0).numpy()
    assert np.abs(list(adapted.scores.values()) - expected).max() < 1e-4
    tasks = {case.task for case in report.findings.golden.cases}
    assert tasks == {"text", "fusion", "audio"}


def test_every_task_is_asked_for_short_and_long_inputs(
    maker: Any, options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a bundle that answers a text and its sound together only."""
    encoder, asked = maker.encoder(), []
    recognize = EmotionRecognizer.recognize

    def spy(self: EmotionRecognizer, text: Any = None, audio: Any = None, **more: Any) -> Any:
        if more.get("task"):
            asked.append((more["task"], len(text.split()), len(audio[0]) / audio[1]))
        return recognize(self, text, audio, **more)

    monkeypatch.setattr(EmotionRecognizer, "recognize", spy)
    fusion = maker.fusion(encoder)
    report = export(options(Sources(encoder=str(encoder), fusion=str(fusion))))
    assert report.tasks == ("fusion",)
    assert {(task, words, seconds) for task, words, seconds in asked[-2:]} == {
        ("fusion", 1, 0.1),
        ("fusion", 80, 15.0),
    }


def test_the_reference_again_and_another_one(
    maker: Any, options: Callable[..., Options], tmp_path: Path
) -> None:
    speech = maker.speech()
    report = export(options(Sources(speech=str(speech))))
    found = compare_with_reference(open_bundle(report.output), speech, None, 0.99)
    assert [item["task"] for item in found["comparisons"]] == ["audio"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"front_end": None}, "has no 'front_end'"),
        ({"front_end": {"kind": "log_mel", "n_mels": 0}}, "front_end: "),
        ({"labels": [*LABELS[:5], "anger"]}, "different labels"),
        ({"encoder": "lstm"}, "not a speech network"),
    ],
)
def test_speech_networks_that_are_refused(
    maker: Any,
    options: Callable[..., Options],
    change: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    directory = tmp_path / "speech"
    shutil.copytree(maker.speech(), directory)
    config = {**json.loads((directory / "config.json").read_text()), **change}
    config = {key: value for key, value in config.items() if value is not None}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=message):
        export(options(Sources(speech=str(directory))))


def test_int8_qdq_of_a_speech_graph_is_refused(
    maker: Any, options: Callable[..., Options], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_export.pipeline.require_nncf", lambda: None)
    sources = Sources(speech=str(maker.speech()))
    with pytest.raises(EmoError, match="ranges are fitted to transcripts only") as caught:
        export(options(sources, precisions=("int8-qdq",)))
    assert "\n" not in str(caught.value)


def test_a_fusion_network_of_another_speech_encoder_is_refused(
    maker: Any, options: Callable[..., Options]
) -> None:
    text = maker.text("mean")
    fusion = maker.late_fusion(text, maker.speech())
    for speech, message in ((maker.speech(seed=10), "--speech"), (None, "Give its encoder")):
        sources = Sources(str(text), None, str(fusion), speech and str(speech))
        with pytest.raises(CheckpointError, match=message):
            export(options(sources))


def test_labelled_sound_is_measured(
    maker: Any, options: Callable[..., Options], tmp_path: Path
) -> None:
    import soundfile

    rows = ["audio,label"]
    for number, clip in enumerate(synthetic_clips()[:12]):
        soundfile.write(tmp_path / f"{number}.wav", clip, SAMPLE_RATE)
        rows.append(f"{number}.wav,{LABELS[number % 6]}")
    table, other = tmp_path / "rows.csv", tmp_path / "other.csv"
    table.write_text("\n".join(rows[:7]) + "\n")
    other.write_text("\n".join([rows[0], *rows[7:]]) + "\n")
    sources = Sources(speech=str(maker.speech()))
    with pytest.raises(EmoError, match=r"6 rows of rows\.csv"):
        export(options(sources, evaluate=table, calibrate=table))
    report = export(options(sources, evaluate=table, calibrate=other, precisions=("int8",)))
    [comparison] = report.findings.comparisons
    assert comparison.rows == 6
    assert comparison.macro_f1 is not None
    assert [item.task for item in report.findings.calibrations] == ["audio"]
