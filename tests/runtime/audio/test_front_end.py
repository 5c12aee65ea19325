"""Properties of every front end: streams are bit-identical to whole sound; refused inputs."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime.audio.front_end import make_front_end
from emo_runtime.bundle.front_ends import (
    KaldiFbankSettings,
    Level,
    LogMelSettings,
    MeanMfccSettings,
    WaveformSettings,
)
from emo_runtime.errors import AudioError
from helpers.sounds import speechlike

LEVEL = Level(target_dbfs=-26.0, max_gain_db=40.0)
SETTINGS = {
    "mean_mfcc": MeanMfccSettings(),
    "mean_mfcc, level": MeanMfccSettings(level=LEVEL),
    "mean_mfcc, hop above n_fft": MeanMfccSettings(n_fft=512, hop_length=700, n_mels=40, n_mfcc=13),
    "log_mel": LogMelSettings(),
    "log_mel, longest hop": LogMelSettings(hop_length=199),
    "log_mel, level": LogMelSettings(level=LEVEL, n_mels=128),
    "log_mel, padded": LogMelSettings(pad_s=2.0, max_s=2.0),
    "log_mel, windows": LogMelSettings(pad_s=1.0, max_s=1.0, beyond_max="windows"),
    "kaldi_fbank": KaldiFbankSettings(),
    "kaldi_fbank, level": KaldiFbankSettings(level=LEVEL, left_over="pad", max_s=1.0),
    "kaldi_fbank, fixed": KaldiFbankSettings(
        normalize="fixed", mean=-4.0, std=9.0, stack=1, pad_frames=150, max_s=1.5
    ),
    "waveform": WaveformSettings(),
    "waveform, level": WaveformSettings(level=LEVEL, max_s=1.0, beyond_max="windows"),
    "waveform, truncated": WaveformSettings(max_s=1.0, normalize=False),
}
FRONT_ENDS = {name: make_front_end(value) for name, value in SETTINGS.items()}
SOUND = speechlike(4.0, 16_000, seed=3)


def _step(settings):
    """Samples of one time step of the features."""
    return getattr(settings, "hop_length", 1) * getattr(settings, "stack", 1)


def assert_same_bits(found, wanted):
    assert found.lengths == wanted.lengths
    assert found.truncated == wanted.truncated
    for one, other in zip(found.parts, wanted.parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", FRONT_ENDS)
@settings(max_examples=25)
@given(
    length=st.one_of(st.integers(1, 700), st.integers(1, len(SOUND))),
    sizes=st.lists(st.one_of(st.integers(0, 400), st.integers(0, 20_000)), max_size=30),
    asked=st.sets(st.integers(0, 30)),
)
def test_a_stream_gives_the_bits_of_the_whole(name, length, sizes, asked):
    front_end = FRONT_ENDS[name]
    samples = SOUND[:length]
    stream, start = front_end.stream(), 0
    for number, size in enumerate([*sizes, length]):
        stream.feed(samples[start : start + size])
        start = min(start + size, length)
        if number in asked and start:
            assert_same_bits(stream.features(), front_end.whole(samples[:start]))
    assert_same_bits(stream.features(), front_end.whole(samples))


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_sample_by_sample(name):
    front_end = FRONT_ENDS[name]
    stream = front_end.stream()
    for index in range(3000):
        stream.feed(SOUND[index : index + 1])
    assert_same_bits(stream.features(), front_end.whole(SOUND[:3000]))


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("length", [1, 2, 100, 401])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_short_silent_and_constant_sound_is_finite(name, length, value):
    front_end = FRONT_ENDS[name]
    samples = np.full(length, value, np.float32)
    for part in front_end.whole(samples).parts:
        assert part.dtype == np.float32
        assert part.size
        assert np.isfinite(part).all()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_lengths_count_time_steps(name):
    front_end = FRONT_ENDS[name]
    result = front_end.whole(SOUND[:16_000])
    assert abs(sum(result.lengths) - 16_000 / _step(SETTINGS[name])) <= 2
    assert front_end.sample_rate == SETTINGS[name].sample_rate


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_no_samples(name):
    front_end = FRONT_ENDS[name]
    with pytest.raises(AudioError, match="no samples"):
        front_end.whole(np.empty(0, np.float32))
    stream = front_end.stream()
    stream.feed(np.empty(0, np.float32))
    with pytest.raises(AudioError, match="no samples"):
        stream.features()


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(name, value):
    front_end = FRONT_ENDS[name]
    samples = SOUND[:9000].copy()
    samples[8999] = value
    with pytest.raises(AudioError, match="NaN or infinite"):
        front_end.whole(samples)
    stream = front_end.stream()
    stream.feed(SOUND[:7000])
    with pytest.raises(AudioError, match="NaN or infinite"):
        stream.feed(samples)
    stream.feed(SOUND[7000:9000])
    assert_same_bits(stream.features(), front_end.whole(SOUND[:9000]))


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_the_input_is_left_alone_and_no_view_of_it_returned(name):
    front_end = FRONT_ENDS[name]
    samples = SOUND.copy()
    samples.flags.writeable = False
    result = front_end.whole(samples)
    np.testing.assert_array_equal(samples, SOUND)
    assert not any(np.shares_memory(part, samples) for part in result.parts)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_features_are_left_alone_by_what_comes_later(name):
    stream = FRONT_ENDS[name].stream()
    stream.feed(SOUND[:20_000])
    first = stream.features()
    copies = [part.copy() for part in first.parts]
    stream.feed(SOUND[20_000:])
    stream.features()
    for part, copy in zip(first.parts, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_shared_between_threads(name):
    front_end = FRONT_ENDS[name]
    sounds = [speechlike(1.0 + 0.1 * seed, 16_000, seed) for seed in range(8)]
    expected = [front_end.whole(sound) for sound in sounds]
    with ThreadPoolExecutor(4) as pool:
        for found, wanted in zip(pool.map(front_end.whole, sounds), expected, strict=True):
            assert_same_bits(found, wanted)


@pytest.mark.parametrize(
    "settings",
    [
        LogMelSettings(),
        KaldiFbankSettings(normalize="none", stack=1),
        WaveformSettings(normalize=False),
        LogMelSettings(max_s=1.0),
        KaldiFbankSettings(normalize="none", stack=1, max_s=1.0),
        WaveformSettings(normalize=False, max_s=1.0),
    ],
)
def test_a_window_keeps_the_end_of_the_sound(settings):
    front_end = make_front_end(settings)
    stream = front_end.stream(window_s=2.0)
    for start in range(0, len(SOUND), 320):
        stream.feed(SOUND[start : start + 320])
    result = stream.features()
    kept_s = 1.0 if settings.max_s else 2.0
    assert abs(sum(result.lengths) * _step(settings) / 16_000 - kept_s) <= 0.02
    assert not result.truncated
    [part] = result.parts
    whole = make_front_end(type(settings)(**_without_limit(settings))).whole(SOUND).parts[0]
    axis = 2 if isinstance(settings, LogMelSettings) else 1
    tail = np.take(whole, range(whole.shape[axis] - part.shape[axis], whole.shape[axis]), axis)
    # Whisper's range is the peak of what is kept: only values above both floors are equal.
    clear = (part > part.min()) & (tail > tail.min())
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(part[clear], tail[clear])


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("window_s", [1e-9, 0.01, 0.05])
def test_the_shortest_windows_give_finite_features(name, window_s):
    stream = FRONT_ENDS[name].stream(window_s)
    for start in range(0, 20_000, 700):
        stream.feed(SOUND[start : start + 700])
        for part in stream.features().parts:
            assert part.size
            assert np.isfinite(part).all()


def _without_limit(settings):
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {**values, "max_s": None}
