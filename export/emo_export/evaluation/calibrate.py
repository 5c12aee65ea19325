"""The temperature of a task's softmax, fitted on labelled rows (Guo et al. 2017)."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.reference import reference, softmax
from emo_export.evaluation.rows import Evaluation
from emo_runtime.bundle.manifest import Audio, TaskName
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

_BOUNDS = (0.05, 20.0)
_STEPS = 60


@dataclass(frozen=True)
class Calibration:
    """What a new temperature does to the expected calibration error on the rows it is fitted on."""

    task: TaskName
    rows: int
    temperature_before: float
    temperature: float
    error_before: float
    error: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def calibrate(
    checkpoints: Checkpoints, rows: Evaluation, contract: Audio | None
) -> tuple[Checkpoints, tuple[Calibration, ...]]:
    """The checkpoints with temperatures fitted on ``rows``, and what that changed.

    The fusion task is fitted where every row has sound. Raises EmoError where a row has no label
    that the checkpoint knows.
    """
    labels = rows.label_ids(checkpoints.text.labels)
    if labels is None:
        known = ", ".join(checkpoints.text.labels)
        raise EmoError(f"{rows.name} (--calibrate): every row needs a label out of: {known}.")
    heard = contract is not None and all(row.audio is not None for row in rows.rows)
    mfcc = rows.mfcc(contract) if heard and contract is not None else None
    answers = reference(checkpoints, rows.texts, mfcc)
    text = _fit("text", answers.text, labels, checkpoints.text.temperature)
    found = [text]
    changed = replace(checkpoints.text, config=_with(checkpoints.text.config, text))
    result = replace(
        checkpoints,
        text=changed,
        encoder=changed if checkpoints.shared else checkpoints.encoder,
    )
    if answers.fusion is not None and checkpoints.fusion is not None:
        fusion = _fit("fusion", answers.fusion, labels, checkpoints.fusion.temperature)
        found.append(fusion)
        config = _with(checkpoints.fusion.config, fusion)
        result = replace(result, fusion=replace(checkpoints.fusion, config=config))
    return result, tuple(found)


def fit_temperature(logits: Floats, labels: Ids) -> float:
    """The temperature with the smallest cross entropy, within 0.05 to 20, by golden section.

    ``logits`` [rows, labels]; the cross entropy has one minimum in 1 / temperature.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = (float(np.log(bound)) for bound in _BOUNDS)
    for _ in range(_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if _cross_entropy(logits, labels, left) < _cross_entropy(logits, labels, right):
            high = right
        else:
            low = left
    return round(float(np.exp((low + high) / 2)), 4)


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: Ids, bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over equally wide bins of confidence."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[place == index].mean() - right[place == index].mean())
        * (place == index).mean()
        for index in np.unique(place)
    ]
    return float(np.sum(gaps))


def _cross_entropy(logits: Floats, labels: Ids, log_temperature: float) -> float:
    probabilities = softmax(logits, float(np.exp(log_temperature)))
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-300)).mean())


def _fit(task: TaskName, logits: Floats, labels: Ids, before: float) -> Calibration:
    after = fit_temperature(logits, labels)
    return Calibration(
        task=task,
        rows=len(labels),
        temperature_before=before,
        temperature=after,
        error_before=expected_calibration_error(softmax(logits, before), labels),
        error=expected_calibration_error(softmax(logits, after), labels),
    )


def _with(config: dict[str, Any], found: Calibration) -> dict[str, Any]:
    return {**config, "temperature": found.temperature}
