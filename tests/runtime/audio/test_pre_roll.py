"""The samples before an utterance are the end of everything that was fed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.audio.pre_roll import PreRoll


@given(st.integers(0, 40), st.lists(st.integers(0, 25), max_size=12))
def test_it_keeps_the_last_samples(limit, lengths):
    whole = np.arange(sum(lengths), dtype=np.float32)
    buffer = PreRoll(limit)
    start = 0
    for length in lengths:
        buffer.feed(whole[start : start + length])
        start += length
    kept = buffer.take()
    assert kept.dtype == np.float32
    assert kept.tolist() == whole[max(0, len(whole) - limit) :].tolist()
    assert buffer.take().size == 0


def test_old_blocks_are_released():
    buffer = PreRoll(100)
    for _ in range(1000):
        buffer.feed(np.zeros(30, np.float32))
    assert len(buffer._blocks) <= 5
