"""``emo-train compare``: metrics of several runs."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emo_models.errors import CheckpointError
from emo_models.runs.text import CHECKPOINT
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.manifest import MANIFEST_NAME

SENTENCE = (
    "No es posible que sigamos así, señorías: la gente espera una respuesta desde hace meses."
)
_CALLS = 30


def compare_runs(runs: Sequence[Path], bundles: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Return one row per run and test set.

    Args:
        runs: run directories, or the checkpoints in them.
        bundles: the bundles made from them, in the same order; their median latency on one
            transcript (and one second of silence, for fusion) is measured.

    Raises:
        CheckpointError: a directory is not a finished run, or the number of bundles differs.
    """
    if bundles and len(bundles) != len(runs):
        raise CheckpointError(f"{len(bundles)} bundles for {len(runs)} runs: give one for each.")
    rows = []
    for index, run in enumerate(runs):
        metrics = _metrics(run)
        latency = _latency_ms(bundles[index], metrics["task"]) if bundles else None
        for test, figures in (metrics["test"] or {"validation": metrics["validation"]}).items():
            rows.append(
                {
                    "run": str(run),
                    "task": metrics["task"],
                    "variant": metrics["recipe"].get("variant", ""),
                    "n_mfcc": metrics["recipe"].get("n_mfcc"),
                    "parameters": metrics["parameters"],
                    "rows": test,
                    "labels": list(figures["classes"]),
                    "macro_f1": figures["macro_f1"],
                    "macro_f1_interval": figures["macro_f1_interval"],
                    "macro_f1_without_fear": figures.get("macro_f1_without_fear"),
                    "latency_ms": latency,
                }
            )
    return rows


def _metrics(run: Path) -> dict[str, Any]:
    directory = run / CHECKPOINT if (run / CHECKPOINT).is_dir() else run
    path = directory / "metrics.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: can't be read ({error}). Give the directory of a finished run of emo-train "
            "text or fusion."
        ) from None
    if document.get("task") not in {"text", "fusion"}:
        raise CheckpointError(f"{path}: not the metrics of emo-train text or fusion.")
    return document


def _latency_ms(bundle: Path, task: str) -> float:
    """Return the median latency of one prediction in ms, after warm-up."""
    if not (bundle / MANIFEST_NAME).is_file():
        raise CheckpointError(f"{bundle}: not a bundle (no {MANIFEST_NAME}).")
    silence = (np.full(22_050, 1e-3, np.float32), 22_050) if task == "fusion" else None
    times = []
    with EmotionRecognizer.open(bundle) as recognizer:
        for _ in range(_CALLS):
            begun = time.perf_counter()
            recognizer.recognize(text=SENTENCE, audio=silence)
            times.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(times[5:]), 3)
