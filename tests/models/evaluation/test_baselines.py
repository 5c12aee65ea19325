"""The baselines, against scikit-learn's dummy classifier and a corpus that words separate."""

import numpy as np
from sklearn.dummy import DummyClassifier

from emo_models.data.corpora import Row
from emo_models.evaluation.baselines import majority, tfidf_svm

LABELS = ("anger", "fear", "joy")
WORDS = {"anger": "furia rabia", "fear": "miedo terror", "joy": "fiesta alegría"}


def rows(counts: dict[str, int]) -> list[Row]:
    return [
        Row(f"{label}-{number}", label, f"{WORDS[label]} {number}", None, "", "")
        for label, count in counts.items()
        for number in range(count)
    ]


def test_the_majority_is_that_of_scikit_learn() -> None:
    train, test = rows({"joy": 2, "fear": 5, "anger": 3}), rows({"joy": 4})
    targets = [LABELS.index(row.label) for row in train]
    dummy = DummyClassifier(strategy="most_frequent").fit(np.zeros((len(train), 1)), targets)
    expected = dummy.predict(np.zeros((len(test), 1)))
    assert majority(train, test, LABELS).tolist() == expected.tolist() == [1, 1, 1, 1]


def test_the_svm_separates_labels_by_their_words() -> None:
    train = rows({"anger": 6, "fear": 6, "joy": 6})
    test = rows({"joy": 2, "anger": 1})
    found, other = tfidf_svm(train, test, test[:1], labels=LABELS)
    assert found.tolist() == [2, 2, 0]
    assert other.tolist() == [2]
