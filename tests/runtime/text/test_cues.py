"""Times of cues: missing, wrong and overlapping ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.text.cues import RawCue, end_of_recording, resolve_times, with_channel


def times(*pairs, channel=None):
    raw = [RawCue(start, end, "hola", channel=channel) for start, end in pairs]
    return [(cue.start_s, cue.end_s, cue.problem) for cue in resolve_times(raw)]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0, None), (2, 3)], [(0, 2, None), (2, 3, None)]),
        ([(0, None)], [(0, math.inf, None)]),
        ([(4, None), (1, 3)], [(4, math.inf, None), (1, 3, None)]),
        ([(0, 2.02), (2, 3)], [(0, 2, None), (2, 3, None)]),
        ([(0, 2.5), (2, 3)], [(0, 2.5, None), (2, 3, None)]),
        ([(-1, 2)], [(0, 2, None)]),
        ([(3, 3)], [(3, 3, None)]),
        ([(-3, -1)], [(0, 0, "it ends at -1 s, before the recording starts")]),
        ([(2, 1)], [(2, 2, "it ends at 1 s, before its start at 2 s")]),
        ([(0, 1), (None, 5)], [(0, 1, None), (1, 1, "it has no start")]),
        ([(math.nan, 1)], [(0, 0, "its start is nan")]),
        ([(1, math.inf)], [(1, 1, "its end is inf")]),
    ],
)
def test_times_are_resolved(pairs, expected):
    assert times(*pairs) == expected


def test_another_channel_is_no_neighbour():
    raw = [RawCue(0, None, "a", channel=0), RawCue(1, 2, "b", channel=1)]
    assert resolve_times(raw)[0].end_s == math.inf


number = st.none() | st.floats()


@given(st.lists(st.tuples(number, number), max_size=6))
def test_times_always_order_or_have_a_problem(pairs):
    for (start, end, problem), (raw_start, _) in zip(times(*pairs), pairs, strict=True):
        assert 0 <= start <= end
        assert math.isfinite(start)
        if problem is None:
            assert raw_start is not None


def test_open_ends_and_channels():
    [cue] = resolve_times([RawCue(1, None, "hola")])
    assert end_of_recording(cue, 4.5).end_s == 4.5
    assert end_of_recording(cue, 0.5).end_s == 1
    assert [each.channel for each in with_channel([cue], 1)] == [1]
    assert with_channel([cue], None) == [cue]
