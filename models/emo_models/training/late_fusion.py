"""Late fusion of a speech and a text classifier: their heads, and one weight that is fitted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from emo_models.data.fusion_data import Features
from emo_models.data.pairs import Pairs
from emo_models.data.speech_embeddings import SpeechSource
from emo_models.errors import CheckpointError
from emo_models.labels import label_key
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.modeling.load import TextCheckpoint

_WEIGHTS = np.linspace(0.0, 2.0, 81)


@torch.no_grad()
def late_network(
    speech: SpeechSource, text: TextCheckpoint, labels: Sequence[str]
) -> LateFusionNetwork:
    """Return the heads and temperatures of two classifiers as a network, both with weight 1.

    Args:
        speech: a speech network with a head.
        text: a mean-pooled text classifier.
        labels: labels in class order; both classifiers have the same set.

    Raises:
        CheckpointError: a classifier without these labels, or a text classifier whose logits are
            not linear in its mean state.
    """
    shape = LateFusionConfig(speech.width, text.hidden, tuple(labels))
    network = LateFusionNetwork(shape)
    if text.multi_label:
        raise CheckpointError(
            f"{text.directory}: it is a multi-label classifier. Late fusion needs one label for "
            "each text."
        )
    if text.pooling != "mean" or getattr(text.module, "ngrams", None) is not None:
        raise CheckpointError(
            f"{text.directory}: late fusion needs a mean-pooled text classifier without an n-gram "
            "head. Train one with emo-train text-mixture, or give another --variant."
        )
    head = speech.network.head
    if head is None:
        raise CheckpointError(
            f"{speech.directory}: late fusion needs a speech network with a head."
        )
    heads = (
        (network.audio_head, head, speech.network.config.labels, speech.directory),
        (network.text_head, text.module.classifier, text.labels, text.directory),
    )
    for own, other, names, directory in heads:
        order = _order(labels, names, directory)
        own.weight.copy_(other.weight[order])
        own.bias.copy_(other.bias[order])
    network.temperature.copy_(torch.tensor([speech.temperature, text.temperature]))
    return network.eval()


@torch.no_grad()
def fit_audio_weight(network: LateFusionNetwork, features: Features, pairs: Pairs) -> float:
    """Set the weight of the sound's log-probabilities to the best one on pairs; return the loss.

    The weight of the text stays 1. "Best" is the lowest cross-entropy over weights from 0 to 2.
    """
    losses = [audio_weight_loss(network, features, pairs, float(weight)) for weight in _WEIGHTS]
    best = int(np.argmin(losses))
    network.weight[0] = float(_WEIGHTS[best])
    return losses[best]


@torch.no_grad()
def audio_weight_loss(
    network: LateFusionNetwork, features: Features, pairs: Pairs, weight: float
) -> float:
    """Return the cross-entropy of pairs with a weight of the sound's log-probabilities."""
    kept = network.weight.clone()
    network.weight[0] = weight
    audio = network.audio_head(torch.from_numpy(features.audio[pairs.audio]))
    text = network.text_head(torch.from_numpy(features.text[pairs.text]))
    logits: Tensor = network.combine(audio, text, torch.ones(len(audio), 2))
    network.weight.copy_(kept)
    return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(pairs.labels)))


def _order(labels: Sequence[str], names: Sequence[str], directory: object) -> list[int]:
    keys = [label_key(name) for name in names]
    wanted = [label_key(label) for label in labels]
    if sorted(keys) != sorted(wanted):
        raise CheckpointError(
            f"{directory}: has the labels {', '.join(names) or 'of no task'}; the fusion has "
            f"{', '.join(labels)}. Late fusion needs classifiers of the same labels."
        )
    return [keys.index(key) for key in wanted]
