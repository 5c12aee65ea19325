"""The golden cases of a bundle."""

from typing import Any

import numpy as np

from emo_export.evaluation.reference import Answers
from emo_export.packaging.golden import CASES_PER_TASK, STEADY, golden_cases
from emo_models.evaluation.metrics import softmax
from emo_models.labels import LABELS


def test_golden_cases_are_spread_and_steady(maker: Any, loaded: Any) -> None:
    checkpoints = loaded(maker.text())
    random = np.random.default_rng(2)
    expected = (3 * random.standard_normal((60, 6))).astype(np.float32)
    unsteady = expected.copy()
    unsteady[::2] += random.standard_normal((30, 6)).astype(np.float32)
    texts = [f"texto {number}" for number in range(60)]
    golden = golden_cases(
        checkpoints,
        texts,
        Answers(expected),
        [Answers(expected), Answers(unsteady)],
        front_end=None,
        answer=lambda *_: [],
    )
    assert len(golden.cases) == CASES_PER_TASK
    assert {int(np.argmax(case.probabilities)) for case in golden.cases} == set(range(6))
    change = np.abs(softmax(expected, 1.25) - softmax(unsteady, 1.25)).max(axis=1)
    assert (change > STEADY).any()
    assert all(change[texts.index(str(case.text))] <= STEADY for case in golden.cases)
    assert golden.labels == list(LABELS)
