"""Front ends on real clips against the extractors of transformers, at rates of 8 to 48 kHz."""

import numpy as np
import pytest
import soundfile
import soxr

from emo_runtime.audio.decode import Sound, resample
from emo_runtime.audio.front_end import make_front_end
from emo_runtime.bundle.front_ends import KaldiFbankSettings, LogMelSettings, WaveformSettings
from helpers.corpora import needs, nemo_clips
from helpers.reference_features import seamless, wav2vec2, whisper, whisper_numpy

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)
LOG_MEL = {n_mels: make_front_end(LogMelSettings(n_mels=n_mels)) for n_mels in (80, 128)}
KALDI = make_front_end(KaldiFbankSettings(left_over="pad"))
WAVEFORM = make_front_end(WaveformSettings())
TOLERANCE = 1e-4


def at_rate(clip, rate):
    """Samples at 16 kHz of a clip that was recorded at ``rate``."""
    samples, own_rate = soundfile.read(clip, dtype="float32")
    if rate != own_rate:
        samples = soxr.resample(samples, own_rate, rate, quality="HQ")
    return resample(Sound(samples, rate), 16_000)


def differences(clip, rate, n_mels):
    """Largest difference of each front end from its extractor."""
    samples = at_rate(clip, rate)
    pairs = {
        "log_mel": (LOG_MEL[n_mels], whisper(samples, n_mels)),
        "log_mel, numpy": (LOG_MEL[n_mels], whisper_numpy(samples, n_mels)),
        "kaldi_fbank": (KALDI, seamless(samples)),
        "waveform": (WAVEFORM, wav2vec2(samples)),
    }
    found = {}
    for name, (front_end, wanted) in pairs.items():
        [part] = front_end.whole(samples).parts
        assert part.shape == wanted.shape
        found[name] = float(np.abs(part - wanted).max())
    return found


def check(clips, rates_of):
    worst = {}
    for number, clip in clips:
        for rate in rates_of(number):
            n_mels = (80, 128)[number // len(RATES) % 2]
            for name, value in differences(clip, rate, n_mels).items():
                worst[name] = max(worst.get(name, (0.0,)), (value, clip.name, rate))
    assert set(worst) == {"log_mel", "log_mel, numpy", "kaldi_fbank", "waveform"}
    assert max(value for value, *_ in worst.values()) < TOLERANCE, worst
    return worst


@needs("nemo")
def test_real_clips_in_rotation():
    # 13 and 6 have no common factor: the clips take all rates in turn, speakers and emotions mixed.
    clips = list(enumerate(nemo_clips()))[::13]
    check(clips, lambda number: [RATES[number % len(RATES)]])


@pytest.mark.endurance
@needs("nemo")
@pytest.mark.parametrize("rate", RATES)
def test_all_real_clips(rate):
    clips = list(enumerate(nemo_clips()))
    assert len(clips) == 1420
    check(clips, lambda number: [rate])
