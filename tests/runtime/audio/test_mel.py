"""Mel filters against librosa and transformers."""

import librosa.filters
import numpy as np
import pytest
from transformers.audio_utils import mel_filter_bank

from emo_runtime.audio.mel import group_bands, kaldi_filters, slaney_filters


@pytest.mark.parametrize("n_mels", [40, 128, 256])
@pytest.mark.parametrize(
    ("rate", "n_fft", "fmin", "fmax"),
    [(22_050, 2048, 0.0, 11_025.0), (16_000, 512, 50.0, 7_600.0), (44_100, 4096, 0.0, 22_050.0)],
)
@pytest.mark.filterwarnings("ignore:Empty filters:UserWarning")  # librosa's own
def test_slaney_filters_equal_librosas(rate, n_fft, fmin, fmax, n_mels):
    wanted = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    found = slaney_filters(rate, n_fft, n_mels, fmin, fmax)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_slaney_filters_equal_whispers(n_mels):
    wanted = mel_filter_bank(201, n_mels, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    found = slaney_filters(16_000, 400, n_mels, 0.0, 8000.0)
    np.testing.assert_allclose(found, wanted.T, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("n_mels", [23, 40, 80])
def test_kaldi_filters_equal_transformers(n_mels):
    wanted = mel_filter_bank(
        257, n_mels, 20, 8000, 16_000, mel_scale="kaldi", triangularize_in_mel_space=True
    )
    found = kaldi_filters(16_000, 512, n_mels, 20.0, 8000.0)
    np.testing.assert_allclose(found, wanted.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_mels", [1, 15, 16, 17, 80, 128])
def test_grouped_products_equal_one_product(n_mels):
    filters = slaney_filters(16_000, 400, n_mels, 0.0, 8000.0)
    power = np.random.default_rng(0).random((5, 201))
    found = np.empty((5, n_mels))
    for group in group_bands(filters):
        found[:, group.bands] = power[:, group.bins] @ group.weights
    np.testing.assert_allclose(found, power @ filters.T, rtol=1e-12)
