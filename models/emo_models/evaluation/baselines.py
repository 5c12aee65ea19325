"""What a network has to beat: the majority class, and TF-IDF with a linear SVM."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from emo_models.data.corpora import Row

Ints = NDArray[np.int64]


def majority(train: Sequence[Row], test: Sequence[Row]) -> Ints:
    """The most frequent training class for every row."""
    counts = np.bincount([row.label for row in train])
    return np.full(len(test), int(counts.argmax()), dtype=np.int64)


def tfidf_svm(train: Sequence[Row], *tests: Sequence[Row], seed: int = 42) -> list[Ints]:
    """Predictions of a linear SVM on TF-IDF of words (1-2) and characters (2-5), per test set."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2),
    )
    model = make_pipeline(features, LinearSVC(class_weight="balanced", random_state=seed))
    model.fit([row.text for row in train], [row.label for row in train])
    return [np.asarray(model.predict([row.text for row in rows]), np.int64) for rows in tests]
