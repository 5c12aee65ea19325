"""Randomly initialised checkpoints on disk, as emo_models writes them: small, and made in moments.

Biases and layer norms get noise: those of a fresh network are all zeros and ones, which ONNX
Runtime would merge, unlike a trained one's.
"""

import json
from pathlib import Path

import torch
from torch import nn
from transformers import BertConfig, BertModel

from emo_models.checkpoint import file_sha256, save_fusion, save_text
from emo_models.fusion import FusionConfig, FusionNetwork, TrainedFusion
from emo_models.labels import LABELS
from emo_models.text_classifier import text_classifier
from emo_models.tokenizer import save_tokenizer, train_tokenizer

LINES = (
    "hola qué tal estás hoy en casa",
    "no puedo más con esta espera tan larga",
    "me alegra mucho saber que vienes mañana",
    "tengo miedo de que pase algo malo",
    "qué asco de comida, de verdad, no la quiero",
    "la oficina abre a las nueve y cierra a las dos",
    "desde que se fue la casa está triste y callada",
)
SIZE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 80,
}
VOCABULARY = 300


def noisy(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random biases and layer norms, and a head whose logits differ clearly; in place."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if name.endswith("bias"):
            parameter.data = 0.1 * noise
        elif "LayerNorm" in name:
            parameter.data = 1 + 0.2 * noise
        elif name.startswith("classifier") or "embeddings" in name:
            parameter.data = 0.5 * noise
        elif parameter.dim() == 2:
            parameter.data = noise / parameter.shape[1] ** 0.5
    return model.eval()


def tokenizer_in(directory: Path, positions: int = SIZE["max_position_embeddings"]) -> None:
    """A small tokenizer of our own."""
    tokenizer = train_tokenizer(LINES * 20, vocab_size=VOCABULARY)
    save_tokenizer(tokenizer, directory, positions=positions)


def bert_config(**changes: object) -> BertConfig:
    """A small BERT with the six labels."""
    settings = {
        **SIZE,
        "vocab_size": VOCABULARY,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: index for index, label in enumerate(LABELS)},
    }
    return BertConfig(**{**settings, **changes})


def text_checkpoint(directory: Path, *, pooling: str = "cls", seed: int = 1) -> Path:
    """A classifier; ``pooling`` is ``cls`` (stock BERT) or ``mean``."""
    torch.manual_seed(seed)
    parts = directory.with_name(f"{directory.name}.tokenizer")
    tokenizer_in(parts)
    model = noisy(text_classifier(bert_config(pooling=pooling)), seed)
    save_text(directory, model, parts, temperature=1.25)
    return directory


def encoder_checkpoint(directory: Path, *, seed: int = 2) -> Path:
    """An encoder without a head."""
    torch.manual_seed(seed)
    parts = directory.with_name(f"{directory.name}.tokenizer")
    tokenizer_in(parts)
    save_text(directory, noisy(BertModel(bert_config(), add_pooling_layer=False), seed), parts)
    return directory


def fusion_checkpoint(
    directory: Path,
    encoder: Path,
    *,
    variant: str = "plain",
    present: bool = False,
    n_mfcc: int = 128,
    seed: int = 3,
) -> Path:
    """A fusion network for the embeddings of ``encoder``."""
    torch.manual_seed(seed)
    hidden = json.loads((encoder / "config.json").read_text())["hidden_size"]
    shape = FusionConfig(
        variant=variant, n_mfcc=n_mfcc, hidden=hidden, fused=64, present_input=present
    )
    network = noisy(FusionNetwork(shape), seed)
    network.audio_shift.copy_(torch.randn(n_mfcc))
    network.audio_scale.fill_(0.1)
    network.details = TrainedFusion(
        temperature=1.5,
        encoder_sha256=file_sha256(encoder / "model.safetensors"),
        audio={"n_mfcc": n_mfcc, "n_mels": max(128, n_mfcc)},
    )
    save_fusion(directory, network)
    return directory
