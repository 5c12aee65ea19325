from pathlib import Path

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.svm import LinearSVC
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
)

from emo_models.checkpoint import save_text
from emo_models.evaluation.calibration import log_loss
from emo_models.labels import LABELS
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.inference import padded
from emo_models.modeling.load import load_text
from emo_models.modeling.ngrams import NgramHead
from emo_models.modeling.text_classifier import (
    BertForMeanPooledClassification,
    add_ngrams,
    masked_mean,
    text_classifier,
)
from emo_models.training.ngrams import fit_mixture, fit_ngrams

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


def test_ngrams_are_a_linear_svm_on_tfidf_of_unigrams_and_bigrams() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.integers(5, 40, size=rng.integers(3, 9)).tolist() for _ in range(60)]
    targets = [int(text[1] % 3) for text in texts]
    head = NgramHead(1 << 15, 3, 40)
    fit_ngrams(head, texts, targets, cost=0.5)
    # The same by scikit-learn's own vectorizer, on the ids as words.
    features = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\d+", use_idf=True)
    words = [" ".join(map(str, text)) for text in texts]
    counts = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\d+")
    table = features.fit_transform(words)
    repeated = (counts.fit_transform(words) > 1).sum(axis=1)
    svm = LinearSVC(C=0.5, class_weight="balanced", random_state=0).fit(table, targets)
    ids, mask = padded(texts, 0, torch.device("cpu"))
    with torch.no_grad():
        ours = head(ids, mask).numpy()
    # Equal where no n-gram repeats: a graph without sorting counts each occurrence in the length.
    once = np.asarray(repeated).ravel() == 0
    assert once.sum() > 20
    np.testing.assert_allclose(ours[once], svm.decision_function(table)[once], atol=0.12)
    assert (ours.argmax(1) == svm.predict(table)).mean() > 0.95


def test_ngrams_do_not_see_padding_and_travel_in_the_checkpoint(
    tmp_path: Path, encoder: Path
) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling="mean"), seed=3)
    batch = tokenizer(["la pena y la rabia", "vergüenza"], padding=True, return_tensors="pt")
    plain = model.eval()(**batch).logits
    head = NgramHead(64, 6, model.config.vocab_size)
    torch.nn.init.normal_(head.table)
    scores = head(batch["input_ids"], batch["attention_mask"]).detach()
    alone = tokenizer(["vergüenza"], return_tensors="pt")
    torch.testing.assert_close(
        head(**{k: alone[k] for k in ("input_ids", "attention_mask")})[0], scores[1]
    )
    add_ngrams(model, head, 0.5, 2.0)
    torch.testing.assert_close(model(**batch).logits, 0.5 * plain + 2 * scores)
    save_text(tmp_path / "text", model, tokenizer)
    again = load_text(tmp_path / "text").module
    torch.testing.assert_close(again(**batch).logits, model(**batch).logits, atol=0.02, rtol=0.02)


def test_the_mixture_has_the_least_log_loss() -> None:
    rng = np.random.default_rng(0)
    network, ngrams = rng.normal(size=(2, 400, 6))
    targets = (1.5 * network + 0.5 * ngrams + rng.gumbel(size=(400, 6))).argmax(axis=1)
    first, second = fit_mixture(network, ngrams, targets)
    best = log_loss(first * network + second * ngrams, targets, 1.0)
    for shift in (0.95, 1.05):
        assert best < log_loss(first * shift * network + second * ngrams, targets, 1.0)
        assert best < log_loss(first * network + second * shift * ngrams, targets, 1.0)
    useless = fit_mixture(network, -network * 1e-3, targets)
    assert min(useless) >= 0
