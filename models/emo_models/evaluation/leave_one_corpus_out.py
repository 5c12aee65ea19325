"""Leave-one-corpus-out protocol: figures of a held-out corpus for speaker profiles of any size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emo_models.data.speakers import Floats, Ints, Profile, Utterances
from emo_models.evaluation.calibration import fit_temperature_of_sets
from emo_models.evaluation.metrics import calibration_error, class_scores, confusion, softmax

_DRAWS = 5
_RESAMPLES = 500
_SKEWED_SIZE = 10
# The temperature is one for first utterances and for known speakers.
_CALIBRATION_PROFILES = (Profile((0,)), Profile((5,)))

# Logits [clips, labels] for a profile and the seed of its random utterances.
Predict = Callable[[Profile, int], Floats]


def profiles(labels: Sequence[str]) -> dict[str, Profile]:
    """Return the profiles of the protocol by name: 0 to 20 utterances, and skewed ones."""
    found = {f"n={size}": Profile((size,)) for size in (0, 1, 2, 5, 20)}
    if "anger" in labels:
        found["all anger"] = Profile((_SKEWED_SIZE,), labels.index("anger"))
    if "neutral" in labels:
        neutral = labels.index("neutral")
        found["all neutral"] = Profile((_SKEWED_SIZE,), neutral)
        found["80 % neutral"] = Profile((_SKEWED_SIZE,), neutral, 0.8)
    return found


def folds(utterances: Utterances) -> dict[str, tuple[Ints, Ints]]:
    """Return (training clips, held-out clips) by the name of the held-out corpus."""
    return {
        name: (
            np.flatnonzero(utterances.corpus != number),
            np.flatnonzero(utterances.corpus == number),
        )
        for number, name in enumerate(utterances.names)
    }


def report(predict: Predict, utterances: Utterances, temperature: float) -> dict[str, Any]:
    """Return the figures of one corpus for each profile.

    Random profiles are drawn several times and the figures averaged. Macro-F1 is the mean over the
    labels that the corpus has; its interval resamples speakers.
    """
    return {
        name: _figures(predict, profile, utterances, temperature)
        for name, profile in profiles(utterances.labels).items()
    }


def shared_temperature(held_out: Sequence[tuple[Predict, Utterances]]) -> float:
    """Return the temperature for held-out corpora, each with the same weight.

    Half of the logits are for a speaker's first utterance, half for one after five others.
    """
    return fit_temperature_of_sets(
        [
            (predict(profile, 0), utterances.label)
            for predict, utterances in held_out
            for profile in _CALIBRATION_PROFILES
        ]
    )


def mean_over_corpora(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return macro-F1 and calibration error averaged over corpora, by profile."""
    names = next(iter(reports.values())).keys() if reports else ()
    return {
        name: {
            figure: float(np.mean([corpus[name][figure] for corpus in reports.values()]))
            for figure in ("macro_f1", "calibration_error")
        }
        for name in names
    }


def present_macro_f1(label: Ints, predicted: Ints, classes: int) -> float:
    """Return the mean F1 over the labels that occur."""
    matrix = confusion(label, predicted, classes)
    return float(class_scores(matrix)[2][matrix.sum(1) > 0].mean())


def speaker_interval(
    label: Ints, predicted: Ints, speaker: Ints, classes: int, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of macro-F1 over resampled speakers."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(speaker == number) for number in np.unique(speaker)]
    scores = []
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(members), size=len(members))
        rows = np.concatenate([members[number] for number in chosen])
        scores.append(present_macro_f1(label[rows], predicted[rows], classes))
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def _figures(
    predict: Predict, profile: Profile, utterances: Utterances, temperature: float
) -> dict[str, Any]:
    label, classes = utterances.label, len(utterances.labels)
    draws = [predict(profile, seed) for seed in range(1 if profile.sizes == (0,) else _DRAWS)]
    predicted = [logits.argmax(1) for logits in draws]

    scores = [present_macro_f1(label, found, classes) for found in predicted]
    errors = [calibration_error(softmax(logits, temperature), label) for logits in draws]
    recall = {
        utterances.labels[number]: float(
            np.mean([(found[label == number] == number).mean() for found in predicted])
        )
        for number in np.unique(label)
    }
    return {
        "macro_f1": float(np.mean(scores)),
        "macro_f1_interval": speaker_interval(label, predicted[0], utterances.speaker, classes),
        "accuracy": float(np.mean([(found == label).mean() for found in predicted])),
        "calibration_error": float(np.mean(errors)),
        "recall": recall,
    }
