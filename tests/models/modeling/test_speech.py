"""The speech network against transformers' Whisper encoder, and its speech gate."""

import math

import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel, SpeechEncoder

SHAPE = SpeechConfig(
    n_mels=20, width=32, heads=4, inner=48, positions=20, layers=3, pooled_layers=(1, 2)
)


def equally_loud(features: torch.Tensor) -> torch.Tensor:
    """Shift each frame so that all of them have the same power."""
    factor = 4.0 * math.log(10.0)
    return features - torch.logsumexp(features * factor, 1, keepdim=True) / factor


def test_its_states_are_those_of_whispers_encoder() -> None:
    torch.manual_seed(0)
    whisper = WhisperEncoder(
        WhisperConfig(
            num_mel_bins=20,
            d_model=32,
            encoder_layers=3,
            encoder_attention_heads=4,
            encoder_ffn_dim=48,
            max_source_positions=20,
        )
    ).eval()
    for parameter in whisper.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    encoder = SpeechEncoder(SHAPE).eval()
    encoder.load_whisper({f"encoder.{name}": value for name, value in whisper.state_dict().items()})
    features = equally_loud(torch.randn(2, 20, 40))
    with torch.no_grad():
        states = whisper(features, output_hidden_states=True).hidden_states
        expected = torch.cat([states[1].mean(1), states[2].mean(1)], 1)
        torch.testing.assert_close(encoder(features), expected, atol=1e-5, rtol=1e-5)


def test_silent_frames_are_left_out() -> None:
    encoder = SpeechEncoder(SHAPE)
    features = equally_loud(torch.randn(1, 20, 12))
    # A value of 20 dB: the features are log10(power) / 4.
    features[:, :, 6:] -= 80 / 40
    gate = encoder.speech_gate(features)
    assert gate[0, :6].min() > 0.99
    assert gate[0, 6:].max() < 1e-4
    features[:, :, 6:] += 45 / 40
    assert encoder.speech_gate(features)[0, 6:].mean().item() == pytest.approx(0.5, abs=1e-3)


def test_any_length_up_to_the_positions() -> None:
    encoder = SpeechEncoder(SHAPE).eval()
    for frames in (1, 7, 40):
        assert encoder(torch.randn(3, 20, frames)).shape == (3, 64)


def test_the_head_reads_the_embedding_without_the_population_mean() -> None:
    model = SpeechEmotionModel(SHAPE).eval()
    features = torch.randn(2, 20, 30)
    embedding, _ = model(features)
    model.population_mean.copy_(embedding[0].detach())
    _, logits = model(features)
    assert model.head is not None
    torch.testing.assert_close(logits[0], model.head.bias)


def test_without_labels_there_are_no_logits() -> None:
    model = SpeechEmotionModel(SpeechConfig(**{**vars(SHAPE), "labels": ()}))
    assert model.head is None
    assert model(torch.randn(1, 20, 8))[1] is None


def test_config_as_plain_values() -> None:
    assert SpeechConfig.from_dict({**SHAPE.to_dict(), "temperature": 1.5}) == SHAPE
    with pytest.raises(ValueError, match="pooled_layers"):
        SpeechConfig(layers=2)
    with pytest.raises(ValueError, match="multiple"):
        SpeechConfig(heads=7)
