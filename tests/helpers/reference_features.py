"""The feature extractors of transformers, which define the front ends."""

import warnings
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import (
    ASTFeatureExtractor,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

SAMPLE_RATE = 16_000
Floats = NDArray[np.float32]


@cache
def whisper_extractor(n_mels: int) -> WhisperFeatureExtractor:
    return WhisperFeatureExtractor(feature_size=n_mels)


def whisper(samples: Floats, n_mels: int = 80, padding: str = "do_not_pad") -> Floats:
    """Log-mel features [1, n_mels, frames]; computed by PyTorch in float32."""
    extracted = whisper_extractor(n_mels)(
        samples, sampling_rate=SAMPLE_RATE, padding=padding, return_tensors="np"
    )
    return extracted["input_features"]


def whisper_numpy(samples: Floats, n_mels: int = 80) -> Floats:
    """The same by the extractor's NumPy code, which computes spectra in float64."""
    return whisper_extractor(n_mels)._np_extract_fbank_features(samples[np.newaxis], "cpu")


def seamless(samples: Floats, **options: Any) -> Floats:
    """Kaldi filter bank features [1, ceil(frames / 2), 160]."""
    extracted = SeamlessM4TFeatureExtractor()(
        samples, sampling_rate=SAMPLE_RATE, return_tensors="np", **options
    )
    return extracted["input_features"]


def seamless_in_float64(samples: Floats) -> Floats:
    """The same with the extractor's frames, but its normalization in float64."""
    frames = SeamlessM4TFeatureExtractor()._extract_fbank_features(samples).astype(np.float64)
    frames = (frames - frames.mean(0)) / np.sqrt(frames.var(0, ddof=1) + 1e-7)
    frames = np.pad(frames, ((0, len(frames) % 2), (0, 0)))
    return frames.reshape(1, -1, 160).astype(np.float32)


def wav2vec2(samples: Floats, normalize: bool = True, **options: Any) -> Floats:
    """Samples [1, time]."""
    extracted = Wav2Vec2FeatureExtractor(do_normalize=normalize, return_attention_mask=True)(
        samples, sampling_rate=SAMPLE_RATE, return_tensors="np", **options
    )
    return extracted["input_values"]


def ast(samples: Floats) -> Floats:
    """Kaldi filter bank features [1, 1024, 128], normalized with fixed statistics."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
        extractor = ASTFeatureExtractor()
    return extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"]
