"""The tiny bundles themselves: the golden answers that numpy and librosa gave hold."""

import pytest

from emo_runtime import EmotionRecognizer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"text_only": True},
        {"separate_encoder": True},
        {"present_input": True},
        {"n_mfcc": 56},
        {"n_mfcc": 256},
        {"activation": "sigmoid"},
        {"adaptation": 3.0, "present_input": True},
        {"speech": "waveform"},
        {"speech": "log_mel", "present_input": True, "adaptation": 3.0},
        {"speech": "kaldi_fbank", "separate_encoder": True},
        {"speech": "waveform", "audio_only": True},
        {"speech": "log_mel", "audio_only": True, "activation": "sigmoid"},
    ],
    ids=str,
)
def test_float32_equals_the_reference(tiny_bundle, options):
    recognizer = EmotionRecognizer.open(tiny_bundle(**options))
    assert recognizer.self_test() < 1e-5


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_reduced_precisions_stay_near_it(tiny_bundle, precision):
    bundle = tiny_bundle(precisions=("fp32", "fp16", "int8"))
    recognizer = EmotionRecognizer.open(bundle, variant=precision)
    assert 0 < recognizer.self_test() < 0.05
