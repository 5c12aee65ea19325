"""Agreement by hand, macro-F1 against scikit-learn and by hand."""

import pytest

from emo_bench.accuracy import against_labels, agreement
from emo_bench.engines.base import Outcome


def test_agreement():
    ours = [Outcome("joy", {"joy": 0.9, "fear": 0.1}), Outcome("fear", {"joy": 0.4, "fear": 0.6})]
    theirs = [Outcome("joy", {"joy": 0.7, "fear": 0.3}), Outcome("joy", {"joy": 0.5, "fear": 0.5})]
    same, largest = agreement(ours, theirs)
    assert same == 0.5
    assert largest == pytest.approx(0.2)


def outcome(label):
    return Outcome(label, {label: 1.0})


def test_macro_f1_is_over_the_true_labels_that_occur():
    found = [outcome(label) for label in ("joy", "joy", "fear", "anger", "joy")]
    true = ["joy", "fear", "fear", "joy", None]
    # joy: precision 1/2, recall 1/2; fear: precision 1, recall 1/2; anger is no true label.
    assert against_labels(found, true) == {
        "macro_f1": pytest.approx((1 / 2 + 2 / 3) / 2),
        "labelled": 4.0,
    }


def test_without_labels_there_is_no_macro_f1():
    assert against_labels([outcome("joy")], [None]) == {}
