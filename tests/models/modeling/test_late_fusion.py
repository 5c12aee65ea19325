"""Late fusion of posteriors."""

import torch

from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork

SHAPE = LateFusionConfig(audio_width=10, hidden=7, labels=("a", "b", "c"))
AUDIO, TEXT = torch.randn(4, 10), torch.randn(4, 7)


def network() -> LateFusionNetwork:
    torch.manual_seed(0)
    made = LateFusionNetwork(SHAPE).eval()
    made.temperature = torch.tensor([1.5, 0.7])
    return made


def posteriors(made: LateFusionNetwork) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        torch.log_softmax(made.audio_head(AUDIO) / 1.5, 1),
        torch.log_softmax(made.text_head(TEXT) / 0.7, 1),
    )


def test_one_modality_gives_its_own_log_probabilities() -> None:
    made = network()
    made.weight = torch.tensor([0.5, 2.0])
    audio, text = posteriors(made)
    for present, expected in (((1.0, 0.0), audio), ((0.0, 1.0), text)):
        found = made(AUDIO, TEXT, torch.tensor(present).expand(4, 2))
        torch.testing.assert_close(found, expected)


def test_both_give_the_weighted_product_of_posteriors() -> None:
    made = network()
    made.weight = torch.tensor([0.5, 2.0])
    audio, text = posteriors(made)
    found = made(AUDIO, TEXT, torch.ones(4, 2)).softmax(1)
    product = audio.exp() ** 0.5 * text.exp() ** 2
    torch.testing.assert_close(found, product / product.sum(1, keepdim=True))


def test_the_missing_modality_has_no_influence() -> None:
    made = network()
    present = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    torch.testing.assert_close(made(AUDIO, TEXT, present), made(AUDIO, 0 * TEXT, present))


def test_config_as_plain_values() -> None:
    values = {**SHAPE.to_dict(), "temperature": 1.2}
    assert values["variant"] == "late"
    assert LateFusionConfig.from_dict(values) == SHAPE
