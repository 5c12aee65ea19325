"""The accuracy gate: its limits, and rows on which no gate can judge."""

from dataclasses import replace

import numpy as np
import pytest

from emo_export.evaluation.compare import compare
from emo_export.evaluation.gate import GateError, missed, require, unfit_rows
from emo_export.options import Gate


def test_each_limit_that_is_not_met_is_a_reason() -> None:
    reference = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], np.float32))
    found = np.log(np.array([[0.7, 0.3], [0.55, 0.45], [0.3, 0.7]], np.float32))
    labels = np.array([0, 1, 1])
    result = compare("text", "int8", reference, found, temperature=1.0, targets=labels)
    # Two of three labels agree, the mean change is 0.25 / 3, and macro-F1 falls from 1 to 2 / 3.
    reasons = missed([result], Gate(0.99, 0.005))
    assert [reason.split(":")[0] for reason in reasons] == ["task text, int8"] * 3
    assert [reason.split(": ")[1].rsplit(" ", 3)[0] for reason in reasons] == [
        "label agreement",
        "mean change of the probabilities",
        "macro-F1 loss",
    ]
    assert not missed([result], Gate(0.6, 0.4, 0.1))


def test_agreement_on_a_single_label_is_refused() -> None:
    reference = np.zeros((100, 3), np.float32)
    reference[:, 1] = 2
    same = compare("text", "int8", reference, reference, temperature=1.0)
    assert same.agreement == 1
    assert not missed([same], Gate())
    assert (
        "gives 100.0% of some rows the same answer (1 of its" in unfit_rows([same], "some rows")[0]
    )
    with pytest.raises(GateError, match="Give more or labelled rows"):
        require([same], Gate(), evaluated="some rows")
    require([same], Gate(enforced=False), evaluated="some rows")
    reference[:6, 1] = -2
    require([compare("text", "int8", reference, reference, temperature=1.0)], Gate(), evaluated="")
    own = compare(
        "text", "int8", reference[6:], reference[6:], temperature=1.0, own_labels=True,
        targets=np.ones(94, np.int64),
    )  # fmt: skip
    require([own], Gate(), evaluated="some rows")
    silent = replace(same, task="audio", random_sound=True)
    require([silent], Gate(), evaluated="some rows")
