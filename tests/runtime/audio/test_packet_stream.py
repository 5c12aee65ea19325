"""Packets at any rate: the bits of the whole utterance, resampled at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime.audio.decode import Sound, resample
from emo_runtime.audio.front_end import make_front_end
from emo_runtime.audio.packet_stream import PacketStream
from emo_runtime.bundle.front_ends import (
    KaldiFbankSettings,
    LogMelSettings,
    MeanMfccSettings,
    WaveformSettings,
)
from emo_runtime.errors import AudioError, ClosedError
from helpers.sounds import speechlike

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
FRONT_ENDS = {
    kind.__name__: make_front_end(kind())
    for kind in (MeanMfccSettings, LogMelSettings, KaldiFbankSettings, WaveformSettings)
}


def whole(name, samples, rate):
    front_end = FRONT_ENDS[name]
    return front_end.whole(resample(Sound(samples, rate), front_end.sample_rate)).parts[0]


@pytest.mark.parametrize("name", FRONT_ENDS)
@settings(max_examples=20)
@given(
    rate=st.sampled_from(RATES),
    length=st.integers(1, 60_000),
    sizes=st.lists(st.integers(1, 10_000), max_size=20),
    asked=st.sets(st.integers(0, 20)),
)
def test_finish_gives_the_bits_of_the_whole(name, rate, length, sizes, asked):
    samples = speechlike(length / rate, rate, seed=1)
    stream, start = PacketStream(FRONT_ENDS[name], rate), 0
    for number, size in enumerate([*sizes, len(samples)]):
        stream.feed(samples[start : start + size])
        start += size
        if number in asked and stream.has_features:
            assert all(np.isfinite(part).all() for part in stream.features().parts)
    assert stream.duration_s == pytest.approx(len(samples) / rate)
    [part] = stream.finish().parts
    np.testing.assert_array_equal(part, whole(name, samples, rate))
    assert stream.finish() is stream.features()


def test_nothing_is_fed_after_the_end():
    stream = PacketStream(FRONT_ENDS["LogMelSettings"], 8000)
    stream.feed(speechlike(1.0, 8000))
    stream.finish()
    with pytest.raises(ClosedError, match="finished"):
        stream.feed(speechlike(1.0, 8000))


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_no_sound(rate):
    stream = PacketStream(FRONT_ENDS["LogMelSettings"], rate)
    assert not stream.has_features
    for _ in range(2):
        with pytest.raises(AudioError, match="no samples"):
            stream.finish()
    stream.feed(speechlike(1.0, rate))
    assert stream.finish().parts[0].shape == (1, 80, 100)


def test_a_packet_that_is_not_finite_changes_nothing():
    samples = speechlike(1.0, 8000)
    stream = PacketStream(FRONT_ENDS["KaldiFbankSettings"], 8000)
    stream.feed(samples[:3000])
    with pytest.raises(AudioError, match="NaN"):
        stream.feed(np.full(160, np.nan, np.float32))
    stream.feed(samples[3000:])
    expected = whole("KaldiFbankSettings", samples, 8000)
    np.testing.assert_array_equal(stream.finish().parts[0], expected)
