"""Decoding, mixing and resampling against librosa.load, and the whole front end on real clips."""

import io

import librosa
import numpy as np
import pytest
import soundfile

from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.mfcc import MeanMfcc
from emo_runtime.bundle.front_ends import MeanMfccSettings
from helpers.corpora import CLIPS, needs, nemo_clips
from helpers.reference_audio import load, mean_mfcc
from helpers.sounds import as_file, speechlike

RATES = (8_000, 16_000, 22_050, 44_100, 48_000)
N_MFCC = (56, 128, 256)
DURATIONS = (0.1, 0.7, 2.0, 5.0, 9.3, 15.0, 30.0, 60.0)
LONG_S = 30.0
# Every (rate, channels, coefficients, duration): 240 of them.
COMBINATIONS = [
    (rate, channels, n_mfcc, duration)
    for duration in DURATIONS
    for channels in (1, 2)
    for n_mfcc in N_MFCC
    for rate in RATES
]
FRONT_ENDS = {n: MeanMfcc(MeanMfccSettings(n_mfcc=n, n_mels=max(128, n))) for n in N_MFCC}
ENCODINGS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "PCM_32"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]


def stereo(left, shift):
    return np.stack([left, 0.7 * np.roll(left, shift)], axis=1)


def assert_loads_as_librosa(data, sample_rate=22_050):
    expected = load(io.BytesIO(data), sample_rate)
    found = load_audio(data, sample_rate)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_rates_and_channels(rate, channels, kind):
    samples = speechlike(1.234, rate, seed=channels)
    data = as_file(samples if channels == 1 else stereo(samples, 99), rate, kind)
    assert_loads_as_librosa(data)


@pytest.mark.parametrize(("kind", "subtype"), ENCODINGS)
@pytest.mark.parametrize("rate", [8_000, 22_050])
def test_encodings(kind, subtype, rate):
    assert_loads_as_librosa(as_file(speechlike(0.8, rate), rate, kind, subtype))


def test_opus():
    assert_loads_as_librosa(as_file(speechlike(0.8, 48_000), 48_000, "OGG", "OPUS"))


@pytest.mark.parametrize("channels", [3, 6])
def test_more_channels_than_two(channels):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, channels)).astype(np.float32)
    assert_loads_as_librosa(as_file(samples, 16_000))


@pytest.mark.parametrize("target", [4_000, 16_000, 48_000])
def test_other_target_rates(target):
    assert_loads_as_librosa(as_file(speechlike(1.1, 22_050), 22_050), target)


def test_longer_than_a_block():
    data = as_file(stereo(speechlike(20, 44_100), 5), 44_100, "FLAC")
    assert_loads_as_librosa(data)


@pytest.mark.parametrize("clip", sorted(p.name for p in CLIPS.glob("*.[fw]*")))
def test_our_own_clips(clip):
    np.testing.assert_array_equal(load_audio(CLIPS / clip), load(CLIPS / clip))


def made_of(clip, rate, channels, duration):
    """The bytes of a sound file like the combination, made of a real clip."""
    samples, own_rate = soundfile.read(clip, dtype="float32")
    converted = librosa.resample(samples, orig_sr=own_rate, target_sr=rate, res_type="soxr_hq")
    length = round(duration * rate)
    repeated = np.tile(converted, -(-length // len(converted)))[:length]
    shaped = repeated if channels == 1 else stereo(repeated, rate // 100)
    return as_file(np.clip(shaped, -1, 1), rate, "WAV" if rate == 8_000 else "FLAC")


def difference(clip, rate, channels, duration, sizes):
    """The largest difference of a coefficient, over vectors of these sizes."""
    data = made_of(clip, rate, channels, duration)
    theirs, ours = load(io.BytesIO(data)), load_audio(data)
    return max(
        float(np.abs(FRONT_ENDS[size](ours) - mean_mfcc(theirs, size)).max()) for size in sizes
    )


def chosen():
    """Every combination, but of long sounds only one per rate, because they are slow."""
    short = [made for made in COMBINATIONS if made[-1] < LONG_S]
    long = [
        (rate, 1 + place % 2, N_MFCC[place % 3], duration)
        for duration in DURATIONS
        if duration >= LONG_S
        for place, rate in enumerate(RATES)
    ]
    return short + long


@needs("nemo")
@pytest.mark.parametrize("part", range(4))
def test_real_clips_one_combination_each(part):
    clips = nemo_clips()
    differences = {}
    for number, (rate, channels, size, duration) in list(enumerate(chosen()))[part::4]:
        # 7 has no common factor with the number of clips: each is another one.
        clip = clips[7 * number % len(clips)]
        found = difference(clip, rate, channels, duration, [size])
        differences[clip.name, rate, channels, size, duration] = found
    assert len(differences) == len(chosen()[part::4])
    worst = max(differences, key=differences.__getitem__)
    assert differences[worst] < 1e-3, (worst, differences[worst])


@pytest.mark.endurance
@needs("nemo")
@pytest.mark.parametrize("duration", DURATIONS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_real_clips_all_combinations(rate, channels, duration):
    for clip in nemo_clips():
        found = difference(clip, rate, channels, duration, N_MFCC)
        assert found < 1e-3, (clip.name, found)
