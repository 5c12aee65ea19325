"""Windows of long sound."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.audio.features import average_windows, split_windows


@given(length=st.integers(1, 10_000), limit=st.integers(1, 3000))
def test_windows_are_few_consecutive_and_even(length, limit):
    windows = split_windows(length, limit)
    sizes = [window.stop - window.start for window in windows]
    assert len(windows) == -(-length // limit)
    assert max(sizes) <= limit
    assert max(sizes) - min(sizes) <= 1
    joined = [index for window in windows for index in range(length)[window]]
    assert joined == list(range(length))


def test_one_window_without_a_limit():
    assert split_windows(123_456, None) == [slice(0, 123_456)]


def test_the_average_is_weighted_by_length():
    embeddings = np.array([[1.0, 0.0], [0.0, 4.0]], np.float32)
    average = average_windows(embeddings, (3, 1))
    assert average.dtype == np.float32
    np.testing.assert_allclose(average, [[0.75, 1.0]])


def test_one_window_keeps_its_bits():
    embedding = np.random.default_rng(0).normal(size=(1, 7)).astype(np.float32)
    np.testing.assert_array_equal(average_windows(embedding, (5,)), embedding)
