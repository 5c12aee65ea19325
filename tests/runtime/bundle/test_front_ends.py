"""Front-end settings against the extractors that define them, and what is refused."""

import json

import msgspec
import pytest
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
)

from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    Level,
    LogMelSettings,
    MeanMfccSettings,
    WaveformSettings,
)
from emo_runtime.bundle.manifest_v1 import AudioV1

KINDS = {
    "mean_mfcc": MeanMfccSettings,
    "log_mel": LogMelSettings,
    "kaldi_fbank": KaldiFbankSettings,
    "waveform": WaveformSettings,
}


def convert(**document):
    return msgspec.convert(document, FrontEndSettings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_is_its_defaults(kind):
    assert convert(kind=kind) == KINDS[kind]()


@pytest.mark.parametrize(
    "settings",
    [
        MeanMfccSettings(level=Level(target_dbfs=-26, max_gain_db=30)),
        LogMelSettings(pad_s=30, max_s=30, n_mels=128),
        KaldiFbankSettings(normalize="fixed", mean=-4, std=9, stack=1),
        WaveformSettings(max_s=20, beyond_max="windows", bandwidth_hz=4000),
    ],
)
def test_written_and_read_again(settings):
    data = msgspec.json.encode(settings)
    assert json.loads(data)["kind"] in KINDS
    assert msgspec.json.decode(data, type=FrontEndSettings) == settings


def test_the_schema_names_every_kind():
    text = json.dumps(msgspec.json.schema(FrontEndSettings))
    assert all(f'"{kind}"' in text for kind in KINDS)


def test_a_contradiction_is_reported_with_its_path():
    class Document(msgspec.Struct):
        audio: FrontEndSettings

    with pytest.raises(msgspec.ValidationError, match=r"n_fft 401 is odd.*at `\$\.audio`"):
        msgspec.convert({"audio": {"kind": "log_mel", "n_fft": 401}}, Document)


def test_mean_mfcc_has_the_fields_of_the_first_schema():
    old, new = AudioV1(), MeanMfccSettings()
    for name in AudioV1.__struct_fields__:
        assert getattr(new, name) == getattr(old, name)


def test_defaults_are_the_extractors():
    whisper, log_mel = WhisperFeatureExtractor(), LogMelSettings()
    assert (log_mel.sample_rate, log_mel.n_fft, log_mel.hop_length, log_mel.n_mels) == (
        whisper.sampling_rate,
        whisper.n_fft,
        whisper.hop_length,
        whisper.feature_size,
    )
    seamless, kaldi = SeamlessM4TFeatureExtractor(), KaldiFbankSettings()
    assert (kaldi.sample_rate, kaldi.n_mels, kaldi.stack, kaldi.padding_value) == (
        seamless.sampling_rate,
        seamless.num_mel_bins,
        seamless.stride,
        seamless.padding_value,
    )
    assert kaldi.frame_length == len(seamless.window)
    wav2vec2, waveform = Wav2Vec2FeatureExtractor(), WaveformSettings()
    assert (waveform.sample_rate, waveform.normalize) == (
        wav2vec2.sampling_rate,
        wav2vec2.do_normalize,
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"kind": "mfcc"}, "Invalid value 'mfcc'"),
        ({"kind": "log_mel", "n_mfcc": 3}, "unknown field `n_mfcc`"),
        ({"kind": "waveform", "sample_rate": 0}, ">= 4000"),
        ({"kind": "waveform", "max_s": 0.5}, ">= 1.0"),
        ({"kind": "waveform", "beyond_max": "cut"}, "Invalid enum value 'cut'"),
        ({"kind": "waveform", "level": {"target_dbfs": 3, "max_gain_db": 0}}, "<= 0.0"),
        ({"kind": "waveform", "level": {"target_dbfs": -3}}, "max_gain_db"),
        ({"kind": "mean_mfcc", "n_mfcc": 129}, "n_mfcc 129 exceeds n_mels 128"),
        ({"kind": "mean_mfcc", "center": False}, "center must be true"),
        ({"kind": "log_mel", "fmax": 9000.0}, "0 to 9000 Hz is not a range below half"),
        ({"kind": "log_mel", "n_fft": 401}, "n_fft 401 is odd"),
        ({"kind": "log_mel", "hop_length": 200}, "hop_length 200 is not below half of n_fft"),
        ({"kind": "log_mel", "pad_s": 30}, "pad_s 30 needs a max_s"),
        ({"kind": "log_mel", "pad_s": 30, "max_s": 31}, "pad_s 30 needs a max_s"),
        ({"kind": "kaldi_fbank", "fft_length": 256}, "frame_length 400 exceeds fft_length 256"),
        ({"kind": "kaldi_fbank", "mean": 1.0}, "mean and std are used by normalize 'fixed' only"),
        ({"kind": "kaldi_fbank", "pad_frames": 8}, "pad_frames can't be combined with"),
        (
            {"kind": "kaldi_fbank", "normalize": "none", "pad_frames": 9},
            "pad_frames 9 is not a multiple of stack 2",
        ),
        (
            {"kind": "kaldi_fbank", "normalize": "none", "pad_frames": 500, "max_s": 10},
            "pad_frames 500 needs a max_s",
        ),
    ],
)
def test_refused(document, message):
    with pytest.raises(msgspec.ValidationError) as caught:
        convert(**document)
    assert message in str(caught.value)
