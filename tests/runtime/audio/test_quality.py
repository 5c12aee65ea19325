"""Quality of sound: levels by closed form, bandwidth by filters of known cut-off, exact notes."""

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_runtime.audio.quality import QualityMeter, measure, speech_notes
from emo_runtime.notes import Note
from helpers.corpora import CLIPS
from helpers.sounds import speechlike

RATE = 16_000
NOISE = np.random.default_rng(0).normal(size=3 * RATE).astype(np.float32)
# Speech-like: noise of full bandwidth in bursts, four in a second.
ENVELOPE = np.clip(np.sin(2 * np.pi * 4 * np.arange(3 * RATE) / RATE), 0.01, None)
VOICE = (0.1 * NOISE * ENVELOPE).astype(np.float32)


def codes(samples, rate=RATE, trained_hz=8_000.0):
    return [note.code for note in measure(samples, rate).notes(trained_hz)]


def test_good_sound_has_no_notes():
    assert codes(VOICE) == []
    assert codes(VOICE + np.float32(0.3)) == []  # a constant offset is no level


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_level_of_noise(rate):
    """Gaussian noise of a known RMS; its loudest frames are little above it."""
    quality = measure(0.1 * NOISE, rate)
    assert quality.level_dbfs == pytest.approx(-20, abs=0.6)
    assert quality.duration_s == pytest.approx(len(NOISE) / rate)


def test_quiet_and_silent():
    assert codes(VOICE * np.float32(10 ** (-30 / 20))) == ["quiet"]
    assert codes(VOICE * np.float32(10 ** (-50 / 20))) == ["silent"]
    assert codes(np.zeros(RATE, np.float32)) == ["silent"]
    assert codes(np.full(RATE, 0.5, np.float32)) == ["silent"]


def test_noise_and_tones_are_no_speech():
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    assert codes(tone) == ["silent"]
    assert codes(0.1 * NOISE) == ["silent"]


def test_clipping():
    assert codes(np.clip(20 * VOICE, -1, 1)) == ["clipped"]
    assert codes(VOICE / np.abs(VOICE).max()) == []


@pytest.mark.parametrize("through_hz", [8_000, 11_025, 12_000])
def test_bandwidth_after_resampling(through_hz):
    """Sound that went through a lower rate has no energy above half of that rate."""
    narrow = soxr.resample(soxr.resample(VOICE, RATE, through_hz), through_hz, RATE)
    for samples, rate in ((narrow, RATE), (soxr.resample(VOICE, RATE, through_hz), through_hz)):
        assert measure(samples, rate).bandwidth_hz == pytest.approx(through_hz / 2, rel=0.06)
        assert codes(samples, rate) == ["narrow_band"]
    assert codes(narrow, RATE, trained_hz=4_000.0) == []


def test_an_unknown_training_band_is_wider_than_the_telephone():
    narrow = soxr.resample(VOICE, RATE, 8_000)
    assert codes(narrow, 8_000, None) == ["narrow_band"]
    assert codes(VOICE, RATE, None) == []


@pytest.mark.parametrize("clip", sorted(CLIPS.glob("*.flac")), ids=lambda path: path.stem)
def test_the_examples_have_no_notes(clip):
    """They are wide-band sound with weak highs: one has nothing above 6.4 kHz."""
    samples, rate = soundfile.read(clip, dtype="float32", always_2d=True)
    assert codes(samples.mean(axis=1), rate, None) == []


def test_too_short():
    assert codes(VOICE[: RATE // 5]) == ["too_short"]
    assert codes(VOICE[1_000:1_100])[0] == "too_short"
    assert codes(VOICE[: RATE // 2]) == []


def test_a_transcript_without_speech():
    assert speech_notes(()) == ()
    assert speech_notes((Note("quiet", ""),)) == ()
    [note] = speech_notes((Note("silent", ""),))
    assert note.code == "transcript_without_speech"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5_000), max_size=12), st.sampled_from([8_000, 16_000, 22_050]))
def test_blocks_do_not_matter(lengths, rate):
    samples = speechlike(1.5, rate)
    meter = QualityMeter(rate)
    position = 0
    for length in [*lengths, len(samples)]:
        meter.feed(samples[position : position + length])
        position += length
    assert meter.quality() == measure(samples, rate)
    assert meter.quality() == measure(samples, rate)  # asking changes nothing


def test_a_window_measures_the_last_seconds_only():
    quiet = np.float32(0.001) * speechlike(60, 8_000)
    meter = QualityMeter(8_000, window_s=6.0)
    for packet in np.split(np.concatenate([speechlike(60, 8_000), quiet]), 1_200):
        meter.feed(packet)
    quality = meter.quality()
    expected = measure(quiet[-6 * 8_000 :], 8_000)
    assert 6 <= quality.duration_s <= 8.5
    assert quality.level_dbfs == pytest.approx(expected.level_dbfs, abs=1)
    assert "silent" in [note.code for note in quality.notes()]
    assert sum(len(block.powers) for block in meter._blocks) * 256 <= 8.5 * 8_000
