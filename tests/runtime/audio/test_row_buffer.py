"""The growing array against a list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.audio.row_buffer import RowBuffer


@given(sizes=st.lists(st.integers(0, 50), max_size=30), keep=st.none() | st.integers(1, 60))
def test_rows_are_the_last_that_were_appended(sizes, keep):
    buffer, expected = RowBuffer((2,), keep), np.empty((0, 2), np.float32)
    for number, size in enumerate(sizes):
        rows = np.arange(2 * size, dtype=np.float32).reshape(size, 2) + number
        buffer.append(rows)
        expected = np.concatenate([expected, rows])
        np.testing.assert_array_equal(buffer.rows, expected[-keep:] if keep else expected)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_memory_is_bounded_where_old_rows_are_dropped(size):
    buffer = RowBuffer(keep=1000)
    for _ in range(20_000 // size):
        buffer.append(np.ones(size, np.float32))
    assert buffer.rows.base.nbytes <= 4 * 4 * (1000 + size)
