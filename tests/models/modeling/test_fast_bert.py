import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertModel, RobertaConfig

from emo_models.errors import CheckpointError
from emo_models.modeling.fast_bert import check_supported, encode
from emo_models.modeling.inference import padded

ROWS = [[2, 7, 8, 9, 3], [2, 11, 3], [2, 5, 6, 7, 8, 9, 10, 3]]


@pytest.fixture
def config() -> BertConfig:
    return BertConfig(
        vocab_size=30, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=16, num_labels=4,
    )  # fmt: skip


@pytest.mark.parametrize("rows", [ROWS, [ROWS[0]]], ids=["padding", "no padding"])
def test_states_and_gradients_are_those_of_transformers(
    config: BertConfig, rows: list[list[int]]
) -> None:
    torch.manual_seed(0)
    bert = BertModel(config, add_pooling_layer=False).eval()
    for parameter in bert.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    ids, mask = padded(rows, 0, torch.device("cpu"))
    wanted = bert(input_ids=ids, attention_mask=mask)[0]
    found = encode(bert, ids, mask)
    kept = mask.bool()
    torch.testing.assert_close(found[kept], wanted[kept], rtol=1e-4, atol=1e-5)
    weights = torch.randn_like(wanted[kept])
    parameters = list(bert.parameters())
    theirs = torch.autograd.grad((wanted[kept] * weights).sum(), parameters)
    ours = torch.autograd.grad((found[kept] * weights).sum(), parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_logits_of_a_stock_classifier(config: BertConfig) -> None:
    torch.manual_seed(1)
    model = BertForSequenceClassification(config).eval()
    ids, mask = padded(ROWS, 0, torch.device("cpu"))
    pooled = model.bert.pooler(encode(model.bert, ids, mask))
    wanted = model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(model.classifier(pooled), wanted, rtol=1e-4, atol=1e-6)


def test_other_encoders_are_refused(config: BertConfig) -> None:
    check_supported(config)
    for other in (RobertaConfig(), BertConfig(hidden_act="relu"),
                  BertConfig(position_embedding_type="relative_key")):  # fmt: skip
        with pytest.raises(CheckpointError, match="text-mixture trains BERT encoders"):
            check_supported(other)
