"""Fit the n-gram head, and the weights of its scores and the network's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from sklearn.svm import LinearSVC

from emo_models.modeling.ngrams import NgramHead


@torch.no_grad()
def fit_ngrams(
    head: NgramHead, ids: Sequence[list[int]], targets: Sequence[int], *, cost: float = 0.5
) -> None:
    """Fit the head in place: a one-against-rest linear SVM with balanced classes.

    Args:
        head: the head; its current weights are ignored.
        ids: token ids of each text, special tokens included.
        targets: class numbers; a class without rows gets a score below all others.
        cost: the SVM's C.
    """
    counts = count_ngrams(head, ids)
    frequency = np.asarray((counts > 0).sum(axis=0)).ravel()
    idf = np.log((1 + len(ids)) / (1 + frequency)) + 1
    length = np.sqrt(counts @ idf**2)
    features = counts.multiply(idf).multiply((1 / length)[:, None]).tocsr()
    features.indices, features.indptr = (
        array.astype(np.int32) for array in (features.indices, features.indptr)
    )
    svm = LinearSVC(C=cost, class_weight="balanced", random_state=0).fit(features, targets)
    head.table.zero_()
    head.bias.fill_(-2.0)
    classes = torch.from_numpy(np.asarray(svm.classes_, dtype=np.int64))
    head.table[:, classes] = torch.from_numpy((svm.coef_ * idf).T).to(head.table.dtype)
    head.bias[classes] = torch.from_numpy(svm.intercept_).to(head.bias.dtype)
    head.squares.copy_(torch.from_numpy(idf**2))


def count_ngrams(head: NgramHead, ids: Sequence[list[int]]) -> sparse.csr_array:
    """Return the number of occurrences of each bucket, [texts, buckets]."""
    rows, columns = [], []
    for number, row in enumerate(ids):
        tensor = torch.tensor([row])
        places = torch.cat([head.unigrams(tensor), head.bigrams(tensor)], dim=1)[0].numpy()
        columns.append(places)
        rows.append(np.full(len(places), number))
    ones: NDArray[np.float64] = np.ones(sum(map(len, rows)))
    # scikit-learn's SVM takes 32-bit indices only.
    where = (np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32))
    return sparse.csr_array((ones, where), shape=(len(ids), head.buckets))


def fit_mixture(
    network: NDArray[Any], ngrams: NDArray[Any], targets: NDArray[np.int64]
) -> tuple[float, float]:
    """Return weights of the network's and the n-gram scores that minimize held-out log loss.

    Both weights are at least 0; the loss is convex in them.
    """
    scores = torch.from_numpy(np.stack([network, ngrams]).astype(np.float64))
    wanted = torch.from_numpy(targets)
    weights = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(torch.einsum("i,irc->rc", weights, scores), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    first, second = (max(0.0, float(weight)) for weight in weights.detach())
    return first, second
