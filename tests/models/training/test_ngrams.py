"""The fitted n-gram head is scikit-learn's SVM on TF-IDF features."""

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.svm import LinearSVC

from emo_models.evaluation.calibration import log_loss
from emo_models.modeling.inference import padded
from emo_models.modeling.ngrams import NgramHead
from emo_models.training.ngrams import fit_mixture, fit_ngrams


def test_ngrams_are_a_linear_svm_on_tfidf_of_unigrams_and_bigrams() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 40, size=rng.integers(3, 9)).tolist() for _ in range(60)]
    targets = [int(text[1] % 3) for text in texts]
    head = NgramHead(1 << 15, 3, 40)
    fit_ngrams(head, texts, targets, cost=0.5)
    # The same by scikit-learn's own vectorizer, on the ids as words.
    features = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\d+", use_idf=True)
    words = [" ".join(map(str, text)) for text in texts]
    counts = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\d+")
    table = features.fit_transform(words)
    repeated = (counts.fit_transform(words) > 1).sum(axis=1)
    svm = LinearSVC(C=0.5, class_weight="balanced", random_state=0).fit(table, targets)
    ids, mask = padded(texts, 0, torch.device("cpu"))
    with torch.no_grad():
        ours = head(ids, mask).numpy()
    # Equal where no n-gram repeats: a graph without sorting counts each occurrence in the length.
    once = np.asarray(repeated).ravel() == 0
    assert once.sum() > 20
    np.testing.assert_allclose(ours[once], svm.decision_function(table)[once], atol=0.12)
    assert (ours.argmax(1) == svm.predict(table)).mean() > 0.95


def test_the_mixture_has_the_least_log_loss() -> None:
    rng = np.random.default_rng(0)
    network, ngrams = rng.normal(size=(2, 400, 6))
    targets = (1.5 * network + 0.5 * ngrams + rng.gumbel(size=(400, 6))).argmax(axis=1)
    first, second = fit_mixture(network, ngrams, targets)
    best = log_loss(first * network + second * ngrams, targets, 1.0)
    for shift in (0.95, 1.05):
        assert best < log_loss(first * shift * network + second * ngrams, targets, 1.0)
        assert best < log_loss(first * network + second * shift * ngrams, targets, 1.0)
    useless = fit_mixture(network, -network * 1e-3, targets)
    assert min(useless) >= 0
