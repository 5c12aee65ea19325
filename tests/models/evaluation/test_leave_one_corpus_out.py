"""The figures of held-out corpora against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from emo_models.data.corpora import Row
from emo_models.data.speakers import Floats, Profile, Utterances
from emo_models.evaluation.calibration import log_loss
from emo_models.evaluation.leave_one_corpus_out import (
    folds,
    mean_over_corpora,
    present_macro_f1,
    profiles,
    report,
    shared_temperature,
    speaker_interval,
)

LABELS = ("anger", "joy", "neutral")


def utterances(label: np.ndarray, corpus: np.ndarray) -> Utterances:
    rows = tuple(Row(str(n), "", None, None, "", "") for n in range(len(label)))
    speaker = np.arange(len(label)) // 5
    return Utterances(rows, label, speaker, corpus, ("one", "two"), LABELS)


def test_profiles() -> None:
    found = profiles(LABELS)
    assert [name for name in found if "=" in name] == ["n=0", "n=1", "n=2", "n=5", "n=20"]
    assert found["80 % neutral"] == Profile((10,), 2, 0.8)
    assert "all anger" not in profiles(("joy", "fear"))


def test_folds_hold_out_each_corpus() -> None:
    clips = utterances(np.array([0, 1, 2, 0]), np.array([0, 1, 1, 0]))
    (training, held_out) = folds(clips)["two"]
    assert training.tolist() == [0, 3]
    assert held_out.tolist() == [1, 2]


def test_macro_f1_is_over_the_labels_that_occur() -> None:
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(2, size=60), rng.integers(3, size=60)
    expected = f1_score(label, predicted, labels=[0, 1], average="macro")
    assert present_macro_f1(label, predicted, 3) == pytest.approx(expected)
    low, high = speaker_interval(label, predicted, np.arange(60) // 6, 3)
    assert low < expected < high


def test_report() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=100)
    clips = utterances(label, np.zeros(100, np.int64))
    logits = rng.standard_normal((100, 3)).astype(np.float32) + 2 * np.eye(3, dtype="f4")[label]
    seen: list[tuple[Profile, int]] = []

    def predict(profile: Profile, seed: int) -> Floats:
        seen.append((profile, seed))
        return logits

    found = report(predict, clips, 1.0)["n=5"]
    predicted = logits.argmax(1)
    assert found["macro_f1"] == pytest.approx(f1_score(label, predicted, average="macro"))
    assert list(found["recall"].values()) == pytest.approx(
        recall_score(label, predicted, average=None)
    )
    assert found["accuracy"] == pytest.approx((label == predicted).mean())
    assert seen.count((Profile((0,)), 0)) == 1
    assert [seed for profile, seed in seen if profile == Profile((5,))] == [0, 1, 2, 3, 4]


def test_the_temperature_weighs_corpora_the_same() -> None:
    rng = np.random.default_rng(1)
    parts = []
    for size, factor in ((2000, 1.0), (500, 3.0)):
        logits = 2 * rng.standard_normal((size, 3))
        drawn = logits + rng.gumbel(size=logits.shape)  # labels drawn from the softmax
        clips = utterances(drawn.argmax(1), np.zeros(size, np.int64))
        scaled = (factor * logits).astype(np.float32)
        parts.append((lambda profile, seed, scaled=scaled: scaled, clips))
    found = shared_temperature(parts)

    def loss(temperature: float) -> float:
        losses = [log_loss(f(Profile((0,)), 0), c.label, temperature) for f, c in parts]
        return float(np.mean(losses))

    grid = np.linspace(0.8, 3.2, 241)
    assert found == pytest.approx(min(grid, key=loss), abs=0.02)
    assert 1.2 < found < 2.8


def test_mean_over_corpora() -> None:
    figures = {
        name: {"n=0": {"macro_f1": value, "calibration_error": value / 10}}
        for name, value in (("one", 0.4), ("two", 0.6))
    }
    assert mean_over_corpora(figures)["n=0"] == pytest.approx(
        {"macro_f1": 0.5, "calibration_error": 0.05}
    )
