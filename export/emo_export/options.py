"""Options of an export."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from emo_models.data.corpora import TableFormat
from emo_runtime.bundle.manifest import Precision
from emo_runtime.bundle.text_preparation import TextPreparation

Target = Literal["bundle", "triton"]
TARGETS: tuple[Target, ...] = get_args(Target)
SpeechPooling = Literal["mean", "mean_std"]
ToolkitKind = Literal["audio", "mean"]
SPEECH_POOLINGS: tuple[SpeechPooling, ...] = get_args(SpeechPooling)


@dataclass(frozen=True)
class Sources:
    """Checkpoints of one bundle: directories or Hugging Face Hub ids.

    Attributes:
        text: Text classifier.
        encoder: Text side of the fusion network; None: the encoder of ``text``.
        fusion: Fusion network, a directory.
        preparation: Text preparation of ``text``; overrides the one in its config.json.
        speech: Speech encoder or audio classifier.
        pooling: Pooling over time of a speech encoder without a head.
        layers: Number of layers of the speech encoder to export; None: all.
        speech_emotion: Audio or multimodal model of the toolkit speech-emotion, in place of
            ``speech`` and ``fusion``.
        speech_emotion_kind: Kind of that model where its names don't say it.
    """

    text: str | None = None
    encoder: str | None = None
    fusion: str | None = None
    speech: str | None = None
    preparation: TextPreparation | None = None
    pooling: SpeechPooling | None = None
    layers: int | None = None
    speech_emotion: str | None = None
    speech_emotion_kind: ToolkitKind | None = None


@dataclass(frozen=True)
class Identity:
    """Name, version and licence of a bundle. ``card`` is a model card in Markdown, or None."""

    name: str
    version: str
    licence: str
    notice: str
    card: Path | None = None


@dataclass(frozen=True)
class Gate:
    """Limits on the loss of a reduced precision, relative to the PyTorch checkpoint.

    Attributes:
        min_agreement: minimum share of rows with equal labels.
        max_f1_loss: maximum loss of macro-F1, if the evaluation rows have labels.
        max_change: maximum mean absolute change of the probabilities.
        enforced: False: measure and record the loss, but never fail.
    """

    min_agreement: float = 0.99
    max_f1_loss: float = 0.005
    max_change: float = 0.02
    enforced: bool = True


@dataclass(frozen=True)
class Options:
    """Options of one export. ``precisions`` apply to all graphs but fusion, which is fp32.

    ``target``: a bundle for ``emo_runtime``, or a model repository for Triton.
    """

    sources: Sources
    output: Path
    identity: Identity
    precisions: tuple[Precision, ...] = ("fp32",)
    target: Target = "bundle"
    force: bool = False
    evaluate: Path | None = None
    calibrate: Path | None = None
    gate: Gate = field(default_factory=Gate)
    layout: TableFormat = field(default_factory=TableFormat)
