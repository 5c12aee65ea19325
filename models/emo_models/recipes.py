"""Hyper-parameters of every kind of run. The defaults are the paper's (4.1 and 4.2.7).

Where the paper is silent the default is the plainest choice, and ``help`` says so. No torch here:
the command line is built from these fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, **more})


CLASS_WEIGHTS = ("none", "sqrt", "balanced")


@dataclass(frozen=True)
class TextRecipe:
    """Task 1: fine-tuning of a classifier (paper 4.1)."""

    epochs: int = _option(15, "Passes over the training rows (4.1).")
    validation_share: float = _option(0.1, "Share of the rows kept for validation (4.1: 90/10).")
    learning_rate: float = _option(3e-6, "AdamW's (4.1).")
    epsilon: float = _option(1e-9, "AdamW's (4.1).")
    seed: int = _option(42, "Of the split, the order, dropout (4.1).")
    batch_size: int = _option(16, "Rows per step (the paper does not say).")
    weight_decay: float = _option(0.01, "AdamW's (PyTorch's default; the paper does not say).")
    warmup_share: float = _option(0.0, "Share of all steps with a rising learning rate.")
    schedule: str = _option(
        "constant", "Learning rate after the warm-up.", choices=("constant", "linear")
    )
    label_smoothing: float = _option(0.0, "Share of each target spread over all classes.")
    class_weights: str = _option(
        "none", "Of the loss: none, or inverse frequency or its square root.", choices=CLASS_WEIGHTS
    )
    token_masking: float = _option(0.0, "Share of training tokens that become [MASK].")
    dropout: float = _option(0.1, "In the network (BERT's own default).")
    soup: int = _option(
        1, "Fine-tunings that differ by chance alone, whose weights are averaged at the end."
    )
    bf16: bool = _option(False, "Compute in bfloat16 (weights stay float32).")
    max_tokens: int = _option(512, "Longer texts are cut; never more than the positions.")
    best_by: str = _option(
        "macro_f1",
        "Validation figure that picks the epoch.",
        choices=("macro_f1", "macro_f1_without_fear", "last"),
    )


@dataclass(frozen=True)
class FusionRecipe:
    """Task 2: the fusion network on frozen features (paper 4.2.7)."""

    epochs: int = _option(150, "Passes over the training pairs (4.2.7).")
    learning_rate: float = _option(1e-3, "Adam's (4.2.7).")
    dropout: float = _option(0.5, "Before the last layer (4.2.8).")
    n_mfcc: int = _option(128, "Mean MFCC coefficients (4.2.7; variants 56 and 256).")
    variant: str = _option(
        "plain",
        "Attention per modality before the fusion (end of 4.2.8).",
        choices=("plain", "attention", "multihead"),
    )
    fused: int = _option(256, "Width of either modality and of the fused layer (4.2.6).")
    seed: int = _option(42, "Of the split, the order, dropout.")
    batch_size: int = _option(32, "Pairs per step (the paper does not say).")
    weight_decay: float = _option(0.0, "Adam's.")
    schedule: str = _option("constant", "Learning rate.", choices=("constant", "cosine"))
    validation_share: float = _option(0.1, "Share kept for validation where none is given.")
    label_smoothing: float = _option(0.0, "Share of each target spread over all classes.")
    class_weights: str = _option(
        "none", "Of the loss: none, or inverse frequency or its square root.", choices=CLASS_WEIGHTS
    )
    standardise: str = _option(
        "none",
        "Of the audio vector: none (the paper names none), or one shift per coefficient and one "
        "scale for all.",
        choices=("none", "global"),
    )
    audio_noise: float = _option(0.0, "Gaussian noise on audio, in that global scale's units.")
    drop_audio: float = _option(0.0, "Chance that a training pair goes without its audio.")
    drop_text: float = _option(0.0, "Chance that a training pair goes without its text.")
    best_by: str = _option(
        "macro_f1",
        "Validation figure that picks the epoch.",
        choices=("macro_f1", "macro_f1_without_fear", "last"),
    )

    @property
    def present_input(self) -> bool:
        """Whether the network has the third input, and with it answers for one modality."""
        return self.drop_audio > 0 or self.drop_text > 0


@dataclass(frozen=True)
class PretrainRecipe:
    """Masked-language pretraining of a small BERT.

    The learning rate follows whichever share of the run is spent further, that of ``tokens`` or
    that of ``minutes``; with ``minutes`` 0 the run is the same on every machine.
    """

    tokens: int = _option(46_000_000, "Tokens to see in all.")
    minutes: float = _option(0.0, "Time to spend in all; 0: as long as the tokens take.")
    sequence_length: int = _option(96, "Tokens per row, [CLS] and [SEP] included.")
    batch_size: int = _option(64, "Rows per step.")
    transcript_passes: int = _option(10, "How often the transcripts of --train are in the text.")
    masked_share: float = _option(0.2, "Share of tokens to be guessed.")
    learning_rate: float = _option(1e-3, "Peak, after the warm-up.")
    warmup_share: float = _option(0.03, "Share of the run with a rising learning rate.")
    weight_decay: float = _option(0.01, "On matrices and embeddings.")
    optimizer: str = _option(
        "muon", "Muon is for the encoder's matrices, the rest AdamW.", choices=("muon", "adamw")
    )
    head_start: bool = _option(True, "Begin with word vectors and neighbour heads.")
    bf16: bool = _option(True, "Compute in bfloat16 (weights stay float32).")
    seed: int = _option(42, "Of weights, order and masks.")
    hidden: int = _option(256, "Width.")
    layers: int = _option(4, "Depth.")
    heads: int = _option(4, "Attention heads.")
    intermediate: int = _option(1024, "Width of the feed-forward layers.")
    positions: int = _option(128, "Positions of the network.")
    checkpoint_minutes: float = _option(5.0, "Time between resumable states.")
