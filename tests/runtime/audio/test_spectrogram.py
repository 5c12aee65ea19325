"""Log-mel frames against transformers' spectrogram."""

import numpy as np
import pytest
from transformers.audio_utils import spectrogram

from emo_runtime.audio.mel import slaney_filters
from emo_runtime.audio.spectrogram import BLOCK_FRAMES, LogMelSpectrogram, SpectrogramSettings
from helpers.sounds import speechlike

FILTERS = slaney_filters(16_000, 512, 80, 0.0, 8000.0)
WINDOW = np.hanning(400)


@pytest.mark.parametrize("remove_dc", [False, True])
@pytest.mark.parametrize("preemphasis", [None, 0.97])
def test_frames_equal_transformers(remove_dc, preemphasis):
    samples = speechlike(2.0, 16_000) + np.float32(0.1)
    options = {"remove_dc_offset": remove_dc, "preemphasis": preemphasis}
    wanted = spectrogram(
        samples,
        WINDOW,
        400,
        160,
        512,
        power=2.0,
        center=False,
        mel_filters=FILTERS.T,
        mel_floor=1e-30,
        log_mel="log",
        **options,
    ).T
    settings = SpectrogramSettings(WINDOW, 160, 512, FILTERS, remove_dc, preemphasis)
    found = LogMelSpectrogram(settings)(samples)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_quiet_bands_of_a_loud_frame_are_as_precise_as_float64():
    time = np.arange(16_000) / 16_000
    loud = np.sin(2 * np.pi * 300 * time)
    quiet = 1e-6 * np.sin(2 * np.pi * 6000 * time)
    samples = (loud + quiet).astype(np.float32)
    window = np.blackman(400)
    wanted = spectrogram(
        samples,
        window,
        400,
        160,
        512,
        power=2.0,
        center=False,
        mel_filters=FILTERS.T,
        mel_floor=1e-30,
        log_mel="log",
    ).T
    found = LogMelSpectrogram(SpectrogramSettings(window, 160, 512, FILTERS))(samples)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("frames", [1, BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1, 100])
def test_a_part_that_starts_at_a_block_has_the_bits_of_the_whole(frames):
    compute = LogMelSpectrogram(SpectrogramSettings(WINDOW, 160, 512, FILTERS))
    samples = speechlike(3.0, 16_000)[: 400 + (BLOCK_FRAMES + frames - 1) * 160]
    whole = compute(samples)
    assert len(whole) == BLOCK_FRAMES + frames
    np.testing.assert_array_equal(whole[BLOCK_FRAMES:], compute(samples[BLOCK_FRAMES * 160 :]))


@pytest.mark.parametrize("length", [0, 1, 399])
def test_less_than_one_frame(length):
    compute = LogMelSpectrogram(SpectrogramSettings(WINDOW, 160, 512, FILTERS))
    assert compute(np.ones(length, np.float32)).shape == (0, 80)
