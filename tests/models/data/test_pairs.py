"""Pairs of sound and text: matched by their label, or a corpus's own."""

import numpy as np
import pytest

from emo_models.data.pairs import matched_pairs, own_pairs
from emo_models.errors import DataError
from emo_models.labels import LABELS


def test_matched_pairs_agree_in_label_and_are_repeatable() -> None:
    texts, clips = [0, 1, 1, 2] * 5, [2, 1, 0, 0, 1]
    pairs = matched_pairs(texts, clips, (42, 1), both=True, labels=LABELS)
    assert len(pairs.labels) == 25
    assert (np.array(texts)[pairs.text] == pairs.labels).all()
    assert (np.array(clips)[pairs.audio] == pairs.labels).all()
    assert set(pairs.audio[20:]) == set(range(5))
    again = matched_pairs(texts, clips, (42, 1), both=True, labels=LABELS)
    assert (pairs.audio == again.audio).all()
    assert (
        pairs.audio != matched_pairs(texts, clips, (42, 2), both=True, labels=LABELS).audio
    ).any()
    with pytest.raises(DataError, match="no sound with the label 'joy'"):
        matched_pairs([3], clips, (1,), both=False, labels=LABELS)


def test_own_pairs_are_the_rows_themselves() -> None:
    pairs = own_pairs([3, 1, 2])
    assert (pairs.audio.tolist(), pairs.text.tolist()) == ([0, 1, 2], [0, 1, 2])
    assert pairs.labels.tolist() == [3, 1, 2]
