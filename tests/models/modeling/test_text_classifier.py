from pathlib import Path

import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from emo_models.checkpoint import save_text
from emo_models.labels import LABELS
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.load import load_text
from emo_models.modeling.text_classifier import (
    BertForMeanPooledClassification,
    masked_mean,
    text_classifier,
)

CONFIG = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 12,
    "num_labels": 6,
}


def test_masked_mean_is_the_mean_of_each_unpadded_row() -> None:
    states = torch.randn(3, 5, 4)
    lengths = [5, 2, 1]
    mask = torch.tensor([[1] * n + [0] * (5 - n) for n in lengths])
    expected = torch.stack([states[i, :n].mean(0) for i, n in enumerate(lengths)])
    torch.testing.assert_close(masked_mean(states, mask), expected)


def test_an_answer_does_not_depend_on_padding() -> None:
    model = text_classifier(BertConfig(**CONFIG, pooling="mean")).eval()
    ids = torch.randint(5, 50, (1, 7))
    padded = torch.cat([ids, torch.zeros(1, 5, dtype=torch.long)], dim=1)
    mask = torch.tensor([[1] * 7 + [0] * 5])
    torch.testing.assert_close(
        model(ids).logits, model(padded, attention_mask=mask).logits, atol=1e-6, rtol=1e-5
    )


def test_pooling_decides_the_class() -> None:
    assert type(text_classifier(BertConfig(**CONFIG))) is BertForSequenceClassification
    mean = text_classifier(BertConfig(**CONFIG, pooling="mean"))
    assert type(mean) is BertForMeanPooledClassification
    assert mean.base_model is mean.bert
    assert not [name for name, _ in mean.named_parameters() if "pooler" in name]


def test_any_transformers_user_can_load_the_stock_one(tmp_path: Path, encoder: Path) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling="cls"), seed=3)
    save_text(tmp_path / "text", model, tokenizer, temperature=1.5)
    stock = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "text", torch_dtype=torch.float32
    )
    ours = load_text(tmp_path / "text").module
    batch = tokenizer(["la pena", "vergüenza"], padding=True, return_tensors="pt")
    torch.testing.assert_close(stock.eval()(**batch).logits, ours(**batch).logits)
    assert list(stock.config.id2label.values()) == list(LABELS)
