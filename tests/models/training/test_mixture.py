import copy

import pytest
import torch
from torch import nn
from transformers import BertConfig, get_linear_schedule_with_warmup

from emo_models.mixture_recipe import MixtureRecipe, Source
from emo_models.modeling.inference import padded
from emo_models.modeling.text_classifier import BertForMeanPooledClassification
from emo_models.training.mixture import (
    _rate,
    average_decay,
    freeze,
    logits,
    move_average,
    parameter_groups,
)

CONFIG = BertConfig(
    vocab_size=30, hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
    intermediate_size=24, max_position_embeddings=16, num_labels=3,
)  # fmt: skip
ROWS = [[2, 7, 8, 9, 3], [2, 11, 3], [2, 5, 6, 7, 3]]
RECIPE = MixtureRecipe(sources={"a": Source(path="a")}, learning_rate=1e-3, layer_decay=0.5,
                       head_rate=4.0, frozen_layers=1)  # fmt: skip


@pytest.fixture
def model() -> BertForMeanPooledClassification:
    torch.manual_seed(0)
    return BertForMeanPooledClassification(copy.deepcopy(CONFIG)).eval()


def test_loss_and_gradients_are_those_of_the_stock_forward_pass(
    model: BertForMeanPooledClassification,
) -> None:
    """With equal weights, hard targets with smoothing are CrossEntropyLoss(label_smoothing)."""
    ids, mask = padded(ROWS, 0, torch.device("cpu"))
    labels = torch.tensor([0, 2, 1])
    stock = model(input_ids=ids, attention_mask=mask).logits
    wanted = nn.CrossEntropyLoss(label_smoothing=0.3)(stock, labels)
    targets = torch.full((3, 3), 0.1) + 0.7 * nn.functional.one_hot(labels, 3)
    ours = logits(model, ids, mask, bf16=False)
    found = -(targets * ours.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(found, parameters),
                          torch.autograd.grad(wanted, parameters), strict=True):  # fmt: skip
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_bfloat16_is_near_float32(model: BertForMeanPooledClassification) -> None:
    ids, mask = padded(ROWS, 0, torch.device("cpu"))
    full, half = (logits(model, ids, mask, bf16=bf16) for bf16 in (False, True))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0, atol=0.05)


def test_trained_parameters(model: BertForMeanPooledClassification) -> None:
    freeze(model, 1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    layer = "bert.encoder.layer.1."
    assert {n.removeprefix(layer) for n in trained if n.startswith(layer)} == {
        "attention.self.query.weight",
        "attention.self.key.weight",
        "attention.self.value.weight",
        "attention.output.dense.weight",
        "attention.output.LayerNorm.weight",
        "attention.output.LayerNorm.bias",
        "intermediate.dense.weight",
        "output.dense.weight",
        "output.LayerNorm.weight",
        "output.LayerNorm.bias",
    }
    assert {n for n in trained if ".layer." not in n} == {"classifier.weight", "classifier.bias"}
    assert not [n for n in trained if ".layer.0." in n]
    groups = parameter_groups(model, RECIPE)
    assert [group["lr"] for group in groups] == pytest.approx([5e-4, 1e-3, 4e-3])
    grouped = {id(p) for group in groups for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters() if p.requires_grad}


def test_the_rate_is_that_of_transformers() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 5, 50)
    for step in range(50):
        if step >= 5:
            assert _rate(step, 50, 0.1) == pytest.approx(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert [_rate(step, 50, 0.1) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_moving_average(model: BertForMeanPooledClassification) -> None:
    """Constant decay d per step, updated every 4 steps: the mean of a constant is that constant."""
    freeze(model, 1)
    average = copy.deepcopy(model)
    before = {name: value.clone() for name, value in average.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    move_average(average, model, 0.75)
    for name, parameter in average.named_parameters():
        step = 0.25 if parameter.requires_grad else 0.0
        torch.testing.assert_close(parameter.data, before[name] + step)
    assert average_decay(10_000, 0.99) == pytest.approx(0.99**4)
    assert average_decay(4, 0.99) == pytest.approx((5 / 14) ** 4)
