"""Baselines: the majority class, and TF-IDF with a linear SVM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from emo_models.data.corpora import Row
from emo_models.data.datasets import targets_of

Ints = NDArray[np.int64]


def majority(train: Sequence[Row], test: Sequence[Row], labels: Sequence[str]) -> Ints:
    """Return the most frequent training class for every row."""
    counts = np.bincount(targets_of(train, labels))
    return np.full(len(test), int(counts.argmax()), dtype=np.int64)


def tfidf_svm(
    train: Sequence[Row], *tests: Sequence[Row], labels: Sequence[str], seed: int = 42
) -> list[Ints]:
    """Return the classes that a linear SVM predicts per test set.

    Features: TF-IDF of word n-grams (1-2) and character n-grams (2-5).
    """
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    model = make_pipeline(features, LinearSVC(class_weight="balanced", random_state=seed))
    model.fit([row.text for row in train], targets_of(train, labels))
    return [np.asarray(model.predict([row.text for row in rows]), np.int64) for rows in tests]
