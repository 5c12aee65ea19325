"""Fit the temperature of a task's softmax or sigmoid on labelled rows (Guo et al. 2017)."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.inputs import Inputs
from emo_export.evaluation.reference import reference
from emo_export.evaluation.rows import Evaluation
from emo_models.evaluation.judge import Judge
from emo_models.evaluation.metrics import activate, calibration_error
from emo_models.evaluation.multi_label import calibration_error as multi_label_calibration_error
from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature, and the expected calibration error of its rows before and after."""

    task: TaskName
    rows: int
    temperature_before: float
    temperature: float
    error_before: float
    error: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def calibrate(
    checkpoints: Checkpoints, rows: Evaluation, front_end: FrontEndSettings | None
) -> tuple[Checkpoints, tuple[Calibration, ...]]:
    """Return the checkpoints with temperatures fitted on ``rows``, and the fits.

    Tasks with sound are fitted only if every row has sound.

    Raises:
        EmoError: rows without labels, or with unknown labels.
    """
    has_sound = front_end is not None and all(row.audio is not None for row in rows.rows)
    sound = rows.sound(front_end) if has_sound and front_end is not None else None
    texts = rows.texts if checkpoints.text is not None or checkpoints.fusion is not None else []
    answers = reference(checkpoints, Inputs(texts, sound))
    found = []
    result = checkpoints
    if checkpoints.text is not None and answers.text is not None:
        text = _fit(checkpoints, rows, "text", answers.text)
        found.append(text)
        changed = replace(checkpoints.text, config=_with(checkpoints.text.config, text))
        result = replace(
            checkpoints,
            text=changed,
            encoder=changed if checkpoints.shared else checkpoints.encoder,
        )
    if answers.fusion is not None and checkpoints.fusion is not None:
        fusion = _fit(checkpoints, rows, "fusion", answers.fusion)
        found.append(fusion)
        config = _with(checkpoints.fusion.config, fusion)
        result = replace(result, fusion=replace(checkpoints.fusion, config=config))
    if checkpoints.audio_by_speech and checkpoints.speech and answers.audio is not None:
        audio = _fit(checkpoints, rows, "audio", answers.audio)
        found.append(audio)
        config = _with(checkpoints.speech.config, audio)
        result = replace(result, speech=replace(checkpoints.speech, config=config))
    return result, tuple(found)


def _fit(checkpoints: Checkpoints, rows: Evaluation, task: TaskName, logits: Floats) -> Calibration:
    multi_label = checkpoints.activation(task) == "sigmoid"
    targets = rows.targets(checkpoints.labels, multi_label=multi_label)
    if targets is None:
        raise EmoError(f"{rows.name} (--calibrate): the rows have no labels.")
    judge = Judge(checkpoints.labels, multi_label)
    before, after = checkpoints.temperature(task), round(judge.temperature(logits, targets), 4)

    def error(temperature: float) -> float:
        scores = activate(logits, temperature, multi_label=multi_label)
        if multi_label:
            return multi_label_calibration_error(scores, targets)
        return calibration_error(scores, targets)

    return Calibration(
        task=task,
        rows=len(targets),
        temperature_before=before,
        temperature=after,
        error_before=error(before),
        error=error(after),
    )


def _with(config: dict[str, Any], found: Calibration) -> dict[str, Any]:
    return {**config, "temperature": found.temperature}
