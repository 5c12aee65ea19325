"""Linear classifier on token n-grams inside the text network.

On this data a linear SVM on n-grams is as accurate as a small BERT and makes different errors, so
the two complement each other. As two lookups in hashed tables it costs microseconds, and needs only
standard operators in the graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Multipliers of a multiplicative hash: single token, first and second token of a pair.
_UNIGRAM, _FIRST, _SECOND, _OFFSET = 40_503, 40_503 * 31, 2_654_435_761, 7_919


class NgramHead(nn.Module):
    """Scores of token unigrams and bigrams: a sum of rows, divided by the TF-IDF norm of the text.

    For the n-grams of each bucket, ``table`` [buckets, labels] holds weight times idf, and
    ``squares`` [buckets] holds idf squared.
    """

    squares: Tensor

    def __init__(self, buckets: int, labels: int, vocabulary: int) -> None:
        super().__init__()
        self.buckets = buckets
        # The hash of every token, looked up rather than computed in the graph: some engines
        # (OpenVINO's CPU) multiply integers as float32, exact up to 2**24 only. On the CPU by
        # name: transformers makes networks on the meta device, where nothing has a value.
        ids = torch.arange(vocabulary, device="cpu")
        self._hashes = [ids * factor % buckets for factor in (_UNIGRAM, _FIRST, _SECOND)]
        self.table = nn.Parameter(torch.zeros(buckets, labels))
        self.bias = nn.Parameter(torch.zeros(labels))
        self.register_buffer("squares", torch.ones(buckets))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return scores [batch, labels] of ids [batch, tokens]; right padding is ignored."""
        mask = attention_mask.to(self.table.dtype)
        places = torch.cat([self.unigrams(input_ids), self.bigrams(input_ids)], dim=1)
        there = torch.cat([mask, mask[:, 1:]], dim=1)
        total = (self.table[places] * there.unsqueeze(-1)).sum(1)
        length = (self.squares[places] * there).sum(1, keepdim=True).sqrt()
        return total / length + self.bias

    def unigrams(self, input_ids: Tensor) -> Tensor:
        """Return the bucket of each token, [batch, tokens]."""
        return self._hash(0, input_ids)

    def bigrams(self, input_ids: Tensor) -> Tensor:
        """Return the bucket of each pair of adjacent tokens, [batch, tokens - 1]."""
        pairs = self._hash(1, input_ids[:, :-1]) + self._hash(2, input_ids[:, 1:])
        return (pairs + _OFFSET % self.buckets) % self.buckets

    def _hash(self, place: int, ids: Tensor) -> Tensor:
        return self._hashes[place].to(ids.device)[ids]
