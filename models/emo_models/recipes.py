"""Hyper-parameters of every kind of run; the defaults are those of the paper.

Soto et al., CogniCIC at EmoSPeech 2024, sections 4.1 (text) and 4.2.7 (fusion). Where the paper
gives no value, the default is the simplest choice, and ``help`` says so. The command line is built
from these fields, so nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, text: str, **more: Any) -> Any:
    """Return a field; ``more`` is ``choices``, or the range arguments of click's number types."""
    return field(default=default, metadata={"help": text, **more})


CLASS_WEIGHTS = ("none", "sqrt", "balanced")
BEST_BY = ("macro_f1", "macro_f1_without_fear", "last")

_COUNT = {"min": 1}
_POSITIVE = {"min": 0.0, "min_open": True}
_NOT_NEGATIVE = {"min": 0.0}
_SHARE = {"min": 0.0, "max": 1.0}
_SHARE_BELOW_ONE = {"min": 0.0, "max": 1.0, "max_open": True}
_SPLIT = {"min": 0.0, "max": 1.0, "min_open": True, "max_open": True}


def _soft_share() -> Any:
    return _option(
        1.0,
        "Share of the target that comes from the columns score_LABEL, in rows that have them.",
        **_SHARE,
    )


@dataclass(frozen=True)
class TextRecipe:
    """Fine-tuning of a text classifier (Task 1)."""

    epochs: int = _option(15, "Passes over the training rows.", **_COUNT)
    validation_share: float = _option(0.1, "Share of the rows kept for validation.", **_SPLIT)
    learning_rate: float = _option(3e-6, "Learning rate of AdamW.", **_POSITIVE)
    epsilon: float = _option(1e-9, "Epsilon of AdamW.", **_POSITIVE)
    seed: int = _option(42, "Seed of the split, the order of rows, and dropout.", min=0)
    batch_size: int = _option(16, "Rows per step (the paper does not say).", **_COUNT)
    weight_decay: float = _option(
        0.01, "Weight decay of AdamW (PyTorch's default; the paper does not say).", **_NOT_NEGATIVE
    )
    warmup_share: float = _option(0.0, "Share of all steps with a rising learning rate.", **_SHARE)
    schedule: str = _option(
        "constant", "Learning rate after the warm-up.", choices=("constant", "linear")
    )
    label_smoothing: float = _option(
        0.0, "Share of each target spread over all classes.", **_SHARE_BELOW_ONE
    )
    class_weights: str = _option(
        "none",
        "Class weights of the loss: none, inverse frequency, or its square root.",
        choices=CLASS_WEIGHTS,
    )
    token_masking: float = _option(
        0.0, "Share of training tokens that become the mask token.", **_SHARE_BELOW_ONE
    )
    dropout: float = _option(0.1, "Dropout in the network (BERT's default).", **_SHARE_BELOW_ONE)
    soup: int = _option(
        1, "Number of fine-tunings with different seeds whose weights are averaged.", **_COUNT
    )
    bf16: bool = _option(False, "Compute in bfloat16 (weights stay float32).")
    max_tokens: int = _option(
        512, "Longer texts are cut; never more than the network has positions for.", min=8
    )
    best_by: str = _option("macro_f1", "Validation figure that picks the epoch.", choices=BEST_BY)
    soft_share: float = _soft_share()


@dataclass(frozen=True)
class FusionRecipe:
    """Training of the fusion network on frozen features (Task 2)."""

    epochs: int = _option(150, "Passes over the training pairs.", **_COUNT)
    learning_rate: float = _option(1e-3, "Learning rate of Adam.", **_POSITIVE)
    dropout: float = _option(0.5, "Dropout before the last layer.", **_SHARE_BELOW_ONE)
    n_mfcc: int = _option(
        128, "Mean MFCC coefficients (the paper also tries 56 and 256).", **_COUNT
    )
    variant: str = _option(
        "plain",
        "Attention per modality before the fusion; late: a weighted product of the answers of the "
        "text classifier --encoder and of --speech-encoder.",
        choices=("plain", "attention", "multihead", "late"),
    )
    fused: int = _option(256, "Width of each modality and of the fused layer.", min=32)
    seed: int = _option(42, "Seed of the split, the order of pairs, and dropout.", min=0)
    batch_size: int = _option(32, "Pairs per step (the paper does not say).", **_COUNT)
    weight_decay: float = _option(0.0, "Weight decay of Adam.", **_NOT_NEGATIVE)
    schedule: str = _option("constant", "Learning rate.", choices=("constant", "cosine"))
    validation_share: float = _option(
        0.1, "Share kept for validation where no validation table is given.", **_SPLIT
    )
    label_smoothing: float = _option(
        0.0, "Share of each target spread over all classes.", **_SHARE_BELOW_ONE
    )
    class_weights: str = _option(
        "none",
        "Class weights of the loss: none, inverse frequency, or its square root.",
        choices=CLASS_WEIGHTS,
    )
    standardise: str = _option(
        "none",
        "Standardisation of the audio vector: none (as in the paper), or one shift per "
        "coefficient and one scale for all.",
        choices=("none", "global"),
    )
    audio_noise: float = _option(
        0.0, "Gaussian noise on the audio vector, in units of that scale.", **_NOT_NEGATIVE
    )
    drop_audio: float = _option(0.0, "Chance that a training pair has no audio.", **_SHARE)
    drop_text: float = _option(0.0, "Chance that a training pair has no text.", **_SHARE)
    best_by: str = _option("macro_f1", "Validation figure that picks the epoch.", choices=BEST_BY)
    audio_weight: float = _option(
        0.0,
        "Weight of the sound in --variant late, where the text has 1; 0: fitted on the training "
        "pairs.",
        **_NOT_NEGATIVE,
    )
    soft_share: float = _soft_share()

    @property
    def late(self) -> bool:
        """True for late fusion, which has heads of its own classifiers."""
        return self.variant == "late"

    @property
    def present_input(self) -> bool:
        """True if the network has the input ``present`` and accepts a single modality."""
        return self.drop_audio > 0 or self.drop_text > 0 or self.late


@dataclass(frozen=True)
class PretrainRecipe:
    """Masked-language pretraining of a small BERT.

    The learning rate depends on the used share of ``tokens`` or of ``minutes``, whichever is
    larger. With ``minutes`` 0 the run is the same on every machine.
    """

    tokens: int = _option(46_000_000, "Tokens of the whole run.", **_COUNT)
    minutes: float = _option(
        0.0, "Minutes of the whole run; 0: no limit but the tokens.", **_NOT_NEGATIVE
    )
    sequence_length: int = _option(96, "Tokens per row, special tokens included.", min=8)
    batch_size: int = _option(64, "Rows per step.", **_COUNT)
    transcript_passes: int = _option(
        10, "How often the transcripts of --train are in the text.", min=0
    )
    masked_share: float = _option(0.2, "Share of tokens to predict.", **_SPLIT)
    learning_rate: float = _option(1e-3, "Peak, after the warm-up.", **_POSITIVE)
    warmup_share: float = _option(0.03, "Share of the run with a rising learning rate.", **_SHARE)
    weight_decay: float = _option(0.01, "On matrices and embeddings.", **_NOT_NEGATIVE)
    optimizer: str = _option(
        "muon", "Muon is for the encoder's matrices, the rest AdamW.", choices=("muon", "adamw")
    )
    head_start: bool = _option(True, "Begin with word vectors and neighbour heads.")
    bf16: bool = _option(True, "Compute in bfloat16 (weights stay float32).")
    seed: int = _option(42, "Seed of weights, order and masks.", min=0)
    hidden: int = _option(256, "Width.", **_COUNT)
    layers: int = _option(4, "Depth.", **_COUNT)
    heads: int = _option(4, "Attention heads.", **_COUNT)
    intermediate: int = _option(1024, "Width of the feed-forward layers.", **_COUNT)
    positions: int = _option(128, "Positions of the network.", min=8)
    checkpoint_minutes: float = _option(5.0, "Minutes between resumable states.", **_NOT_NEGATIVE)


@dataclass(frozen=True)
class SpeechRecipe:
    """Training of a speech network: of a Whisper encoder's last layers, or from scratch."""

    layers: int = _option(3, "First encoder layers that are used.", **_COUNT)
    fine_tune: int = _option(2, "Last of these layers that are fine-tuned; 0: head only.", min=0)
    epochs: int = _option(2, "Passes of the fine-tuning over the training clips.", **_COUNT)
    learning_rate: float = _option(1e-4, "Learning rate of AdamW for the layers.", **_POSITIVE)
    head_learning_rate: float = _option(5e-4, "Learning rate of the head.", **_POSITIVE)
    batch_size: int = _option(16, "Clips per step.", **_COUNT)
    weight_decay: float = _option(
        0.01, "Weight decay of the layers; ten times as much for the head.", **_NOT_NEGATIVE
    )
    dropout: float = _option(0.2, "Dropout of the adapted embedding.", **_SHARE_BELOW_ONE)
    label_smoothing: float = _option(
        0.1, "Share of each target spread over all classes.", **_SHARE_BELOW_ONE
    )
    averaging: float = _option(0.02, "Rate of the moving average of the weights.", **_SHARE)
    crop_s: float = _option(2.4, "Longest part of a clip in a step, in seconds.", **_POSITIVE)
    l2: float = _option(0.1, "L2 penalty of the head before the fine-tuning.", **_NOT_NEGATIVE)
    adaptation_weight: float = _option(
        4.0, "Weight of the population mean, in utterances of a speaker.", **_POSITIVE
    )
    balance_power: float = _option(
        0.75, "Balance of labels in a corpus: 0 none, 1 the same weight for each.", **_SHARE
    )
    copies: int = _option(3, "Random recordings of each clip beside clean and telephone.", min=0)
    time_mask: float = _option(
        0.0, "SpecAugment: largest share of a clip's frames that a step hides.", **_SHARE_BELOW_ONE
    )
    channel_mask: float = _option(
        0.0, "SpecAugment: largest share of the channels that a step hides.", **_SHARE_BELOW_ONE
    )
    width: int = _option(192, "Width of a network that is trained from scratch.", **_COUNT)
    heads: int = _option(4, "Its attention heads.", **_COUNT)
    bf16: bool = _option(False, "Compute in bfloat16 (weights stay float32).")
    soft_share: float = _soft_share()
    seed: int = _option(42, "Seed of augmentation, order, profiles and dropout.", min=0)
