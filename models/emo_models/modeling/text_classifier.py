"""The Task 1 network: a BERT with a linear classifier on [CLS] or on the mean state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from emo_models.modeling.ngrams import NgramHead

# Decisions on points that the paper leaves open; written to config.json and to the manifest.
POOLING_DECISIONS = {
    "cls": "the classifier reads [CLS] (a stock BERT classifier; the paper says only fine-tuned)",
    "mean": "the classifier reads the mean of the last states, [CLS] and [SEP] in it, padding not",
}


def masked_mean(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean over all tokens except padding.

    The paper says only that "the BERT outputs were averaged" (4.2.3). The mean includes [CLS] and
    [SEP], as the usual ``last_hidden_state.mean(1)`` on one unpadded text does. It excludes
    padding, so that a result does not depend on the other rows of its batch.

    Args:
        states: float [batch, tokens, hidden].
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.

    Returns:
        float [batch, hidden].
    """
    weights = attention_mask.unsqueeze(-1).to(states.dtype)
    total: Tensor = (states * weights).sum(1)
    return total / weights.sum(1)


class BertForMeanPooledClassification(BertPreTrainedModel):
    """BERT, masked mean of the last hidden state, dropout, linear classifier.

    With ``ngram_buckets`` in its config, the scores of an n-gram head on the same ids are added.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        buckets = getattr(config, "ngram_buckets", 0)
        self.ngrams = NgramHead(buckets, config.num_labels, config.vocab_size) if buckets else None
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Return logits [batch, labels] of token ids [batch, tokens]."""
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        states = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )[0]
        logits = self.classifier(self.dropout(masked_mean(states, attention_mask)))
        if self.ngrams is not None:
            logits = logits + self.ngrams(input_ids, attention_mask)
        return SequenceClassifierOutput(logits=logits)


@torch.no_grad()
def add_ngrams(
    model: BertForMeanPooledClassification, head: NgramHead, network: float, ngrams: float
) -> None:
    """Add a fitted n-gram head to a classifier and scale the scores of both, in place."""
    model.classifier.weight.mul_(network)
    model.classifier.bias.mul_(network)
    head.table.mul_(ngrams)
    head.bias.mul_(ngrams)
    model.ngrams = head
    model.config.ngram_buckets = head.buckets


def text_classifier(config: Any) -> nn.Module:
    """Return an untrained classifier for ``config.pooling``: ``cls`` (stock BERT) or ``mean``."""
    network: nn.Module = CLASSES[getattr(config, "pooling", "cls")](config)
    return network


CLASSES = {"cls": BertForSequenceClassification, "mean": BertForMeanPooledClassification}
