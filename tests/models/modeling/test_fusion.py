import pytest
import torch
from torch import nn

from emo_models.modeling.fusion import CHUNKS, HEADS, FusionConfig, FusionNetwork

AUDIO, TEXT = torch.randn(5, 128), torch.randn(5, 768)


def test_it_is_the_network_of_the_papers_summary() -> None:
    network = FusionNetwork(FusionConfig()).eval()
    sizes = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert sizes == [(128, 256), (768, 256), (512, 256), (256, 6)]
    kinds = [type(layer) for layer in network.combined]
    assert kinds == [nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert network.combined[2].p == 0.5
    joined = torch.cat(
        [
            AUDIO @ network.audio.weight.T + network.audio.bias,
            TEXT @ network.text.weight.T + network.text.bias,
        ],
        dim=1,
    )
    first, last = network.combined[0], network.combined[3]
    expected = (joined @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(network(AUDIO, TEXT), expected)


def test_multihead_variant_computes_what_torch_computes() -> None:
    ours = FusionNetwork(FusionConfig(variant="multihead")).audio_attention
    width = 256 // CHUNKS
    stock = nn.MultiheadAttention(width, HEADS, batch_first=True)
    with torch.no_grad():
        stock.in_proj_weight.copy_(ours.query_key_value.weight)
        stock.in_proj_bias.copy_(ours.query_key_value.bias)
        stock.out_proj.weight.copy_(ours.output.weight)
        stock.out_proj.bias.copy_(ours.output.bias)
    features = torch.randn(3, 256)
    chunks = features.reshape(3, CHUNKS, width)
    expected = (chunks + stock(chunks, chunks, chunks)[0]).reshape(3, 256)
    torch.testing.assert_close(ours(features), expected)


def test_attention_variant_with_uniform_weights_changes_nothing() -> None:
    attention = FusionNetwork(FusionConfig(variant="attention")).text_attention
    nn.init.zeros_(attention.score.weight)
    nn.init.zeros_(attention.score.bias)
    features = torch.randn(3, 256)
    torch.testing.assert_close(attention(features), features)


@pytest.mark.parametrize("variant", ["plain", "attention", "multihead"])
@pytest.mark.parametrize("n_mfcc", [56, 128, 256])
def test_what_is_absent_has_no_effect(variant: str, n_mfcc: int) -> None:
    config = FusionConfig(variant=variant, n_mfcc=n_mfcc, hidden=32, present_input=True)
    network = FusionNetwork(config).eval()
    audio, text = torch.randn(4, n_mfcc), torch.randn(4, 32)
    no_audio = torch.tensor([[0.0, 1.0]] * 4)
    torch.testing.assert_close(
        network(audio, text, no_audio), network(torch.zeros_like(audio), text, no_audio)
    )
    both = torch.ones(4, 2)
    torch.testing.assert_close(network(audio, text, both), network(audio, text))
    assert not torch.allclose(network(audio, text, both), network(audio, text, no_audio))


def test_standardisation_is_part_of_the_network() -> None:
    network = FusionNetwork(FusionConfig(hidden=32)).eval()
    text = torch.randn(5, 32)
    plain = network((AUDIO - 3) * 0.01, text)
    network.audio_shift.fill_(3)
    network.audio_scale.fill_(0.01)
    torch.testing.assert_close(network(AUDIO, text), plain)


def test_wrong_uses_are_refused() -> None:
    with pytest.raises(ValueError, match="not trained to do without"):
        FusionNetwork(FusionConfig())(AUDIO, TEXT, torch.ones(5, 2))
    with pytest.raises(ValueError, match="variant 'best'"):
        FusionConfig(variant="best")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="multiple of 32"):
        FusionConfig(fused=100)


def test_confidence_is_a_temperature_of_one_modality_alone() -> None:
    network = FusionNetwork(FusionConfig(hidden=32, present_input=True)).eval()
    text = torch.randn(5, 32)
    cases = {"both": (1.0, 1.0), "audio": (1.0, 0.0), "text": (0.0, 1.0)}
    before = {name: network(AUDIO, text, torch.tensor([p] * 5)) for name, p in cases.items()}
    network.confidence.copy_(torch.tensor([0.5, 2.0]))
    after = {name: network(AUDIO, text, torch.tensor([p] * 5)) for name, p in cases.items()}
    for name, factor in (("both", 1.0), ("audio", 0.5), ("text", 2.0)):
        torch.testing.assert_close(after[name], factor * before[name])
