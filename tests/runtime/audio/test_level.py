"""The level meter and the gain against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emo_runtime.audio.level import LevelMeter, gain_db
from emo_runtime.bundle.front_ends import Level
from helpers.sounds import speechlike

LEVEL = Level(target_dbfs=-20.0, max_gain_db=30.0)


def rms_of(samples, window=None):
    meter = LevelMeter(window)
    meter.feed(samples)
    return meter.rms()


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 50_000])
def test_rms(length):
    samples = speechlike(length / 16_000, 16_000)
    assert math.isclose(
        rms_of(samples), np.sqrt(np.mean(samples.astype(np.float64) ** 2)), rel_tol=1e-12
    )


@given(sizes=st.lists(st.integers(0, 9000), max_size=20))
def test_the_same_bits_for_every_division_into_packets(sizes):
    samples = speechlike(1.0, 16_000)
    meter, start = LevelMeter(), 0
    for size in [*sizes, len(samples)]:
        meter.feed(samples[start : start + size])
        start += size
        meter.rms()
    assert meter.rms() == rms_of(samples)


def test_no_samples():
    assert LevelMeter().rms() == 0.0


def test_a_window_forgets_what_came_before():
    loud, quiet = np.ones(100_000, np.float32), np.full(100_000, 0.125, np.float32)
    assert rms_of(np.concatenate([loud, quiet]), window=50_000) == 0.125
    assert rms_of(np.concatenate([loud, quiet])) > 0.5


@pytest.mark.parametrize(
    ("rms", "gain"), [(1.0, -20.0), (0.1, 0.0), (0.01, 20.0), (1e-3, 30.0), (0.0, 30.0)]
)
def test_gain(rms, gain):
    assert gain_db(LEVEL, rms) == pytest.approx(gain, abs=1e-9)
    assert gain_db(None, rms) == 0.0
