"""First step: checkpoints from disk (or the Hub) into memory, in float32 and evaluation mode."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from numpy.typing import NDArray

from emo_export.checkpoints.onnx_text import OnnxClassifier, find_onnx, read_onnx_text
from emo_export.checkpoints.read_speech import read_speech
from emo_export.checkpoints.speech import Output as SpeechOutput
from emo_export.checkpoints.speech import SpeechCheckpoint
from emo_export.checkpoints.speech_emotion import TEXT_ENCODER, read_speech_emotion
from emo_export.checkpoints.tokenizer import BundleTokenizer, Ids, bundle_tokenizer
from emo_export.options import Sources
from emo_models import checkpoint as fusion_checkpoint
from emo_models.errors import CheckpointError
from emo_models.evaluation.metrics import activate
from emo_models.modeling.load import TextCheckpoint as LoadedText
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.source import checkpoint_directory, read_config, weights_sha256
from emo_runtime.bundle.manifest import Activation, TaskName
from emo_runtime.text.preparation import prepare

TextPooling = Literal["cls", "mean"]


@dataclass(frozen=True, eq=False)
class TextCheckpoint(LoadedText):
    """A classifier or an encoder, with its tokenizer in the bundle's format."""

    bundle_tokenizer: BundleTokenizer

    @property
    def is_onnx(self) -> bool:
        """True for an ONNX graph, which is its own reference."""
        return isinstance(self.module, OnnxClassifier)


@dataclass(frozen=True)
class FusionCheckpoint:
    """A fusion network: audio [batch, audio_width], text [batch, hidden] (, present) -> logits."""

    directory: Path
    module: torch.nn.Module
    config: dict[str, Any]
    labels: tuple[str, ...]
    sha256: str

    @property
    def audio_width(self) -> int:
        """Width of the audio vector (a speech embedding or mean MFCCs)."""
        return int(self.config.get("audio_width") or self.config["n_mfcc"])

    @property
    def hidden(self) -> int:
        """Width of the text embedding that the network reads."""
        return int(self.config["hidden"])

    @property
    def text_pooling(self) -> TextPooling:
        """Pooling of the encoder's states to the text embedding."""
        return "cls" if self.config.get("text_pooling") == "cls" else "mean"

    @property
    def present_input(self) -> bool:
        """True if the network accepts a missing modality (third input ``present``)."""
        return bool(self.config.get("present_input", False))

    @property
    def temperature(self) -> float:
        """Divisor of the logits before the softmax."""
        return float(self.config.get("temperature", 1.0))


@dataclass(frozen=True)
class Checkpoints:
    """The parts of one bundle.

    Attributes:
        text: Text classifier.
        encoder: Text side of ``fusion``; ``text`` itself where they are the same.
        fusion: Fusion network. Its audio vector is the embedding of ``speech``, or the mean MFCCs
            where there is no speech encoder.
        speech: Speech encoder, with or without a head.
    """

    text: TextCheckpoint | None = None
    encoder: TextCheckpoint | None = None
    fusion: FusionCheckpoint | None = None
    speech: SpeechCheckpoint | None = None

    @property
    def shared(self) -> bool:
        """True if both tasks use the same encoder, and thus one graph with two outputs."""
        return self.encoder is not None and self.encoder is self.text

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks of the bundle."""
        found: list[TaskName] = []
        if self.text is not None:
            found.append("text")
        if self.fusion is not None:
            found.append("fusion")
        if self.audio_by_fusion or self.audio_by_speech:
            found.append("audio")
        return tuple(found)

    @property
    def audio_by_fusion(self) -> bool:
        """True if the fusion network accepts audio without a transcript."""
        return self.fusion is not None and self.fusion.present_input

    @property
    def audio_by_speech(self) -> bool:
        """True if the head of the speech network computes the task audio."""
        return self.speech is not None and bool(self.speech.labels) and not self.audio_by_fusion

    @property
    def speech_outputs(self) -> tuple[SpeechOutput, ...]:
        """Outputs of the speech graph that the tasks need."""
        logits: tuple[SpeechOutput, ...] = ("logits",) if self.audio_by_speech else ()
        return logits if self.fusion is None else (*logits, "embedding")

    @property
    def reference(self) -> str:
        """What the graphs of the bundle are compared with."""
        if self.text is None or not self.text.is_onnx:
            return "the checkpoint in PyTorch"
        if self.tasks == ("text",):
            return "its ONNX graph in ONNX Runtime"
        return "the ONNX graph of the text in ONNX Runtime and the other checkpoints in PyTorch"

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the bundle, in class order."""
        for part in (self.text, self.fusion, self.speech):
            if part is not None:
                return part.labels
        raise ValueError("no checkpoint")

    def temperature(self, task: TaskName) -> float:
        """Divisor of the logits of a task."""
        part = self._answering(task)
        return 1.0 if part is None else part.temperature

    def activation(self, task: TaskName) -> Activation:
        """Function that turns the logits of a task into probabilities."""
        part = self._answering(task)
        if isinstance(part, TextCheckpoint):
            return "sigmoid" if part.multi_label else "softmax"
        return part.activation if isinstance(part, SpeechCheckpoint) else "softmax"

    def probabilities(self, task: TaskName, logits: NDArray[Any]) -> NDArray[Any]:
        """Return the probabilities [rows, labels] of a task's logits."""
        multi_label = self.activation(task) == "sigmoid"
        return activate(logits, self.temperature(task), multi_label=multi_label)

    def _answering(
        self, task: TaskName
    ) -> TextCheckpoint | FusionCheckpoint | SpeechCheckpoint | None:
        if task == "text":
            return self.text
        return self.speech if task == "audio" and self.audio_by_speech else self.fusion

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of the weights by part, as the manifest's provenance names them."""
        parts = {} if self.text is None else {"text": self.text.sha256}
        if self.encoder is not None and not self.shared:
            parts["encoder"] = self.encoder.sha256
        if self.fusion is not None:
            parts["fusion"] = self.fusion.sha256
        if self.speech is not None:
            parts["speech"] = self.speech.sha256
        return parts


def load(sources: Sources) -> Checkpoints:
    """Read the checkpoints that ``sources`` names.

    Raises:
        CheckpointError: a checkpoint is missing or incomplete.
    """
    text = None if sources.text is None else _with_tokenizer(_text(sources.text))
    if text is not None and sources.preparation is not None:
        declared = msgspec.to_builtins(sources.preparation)
        text = replace(text, config={**text.config, "text_preparation": declared})
    if sources.speech_emotion is not None:
        return _toolkit(sources, sources.speech_emotion, text)
    speech = None
    if sources.speech is not None:
        speech = read_speech(sources.speech, sources.pooling, sources.layers)
    if sources.fusion is None:
        return Checkpoints(text, speech=speech)
    encoder = text
    if sources.encoder is None and text is not None and text.is_onnx:
        raise CheckpointError(
            f"{text.directory}: an ONNX classifier gives no embeddings for --fusion. Give the "
            "encoder of the fusion network with --encoder."
        )
    if sources.encoder is not None:
        directory = checkpoint_directory(sources.encoder)
        if text is None or weights_sha256(directory) != text.sha256:
            encoder = _with_tokenizer(load_encoder(directory))
    return Checkpoints(text, encoder, _fusion(sources.fusion), speech)


def _text(source: str) -> LoadedText:
    """Read a classifier: a checkpoint of transformers, or an ONNX graph."""
    directory = checkpoint_directory(source, onnx=True)
    path = find_onnx(directory)
    return load_text(directory) if path is None else read_onnx_text(directory, path)


def _toolkit(sources: Sources, source: str, text: TextCheckpoint | None) -> Checkpoints:
    model = read_speech_emotion(source, sources.speech_emotion_kind)
    if model.fusion is None:
        return Checkpoints(text, speech=model.speech)
    encoder = _with_tokenizer(load_encoder(sources.encoder or TEXT_ENCODER))
    fusion = FusionCheckpoint(
        model.speech.directory,
        model.fusion,
        model.fusion_config,
        model.labels,
        model.speech.sha256,
    )
    return Checkpoints(text, encoder, fusion, model.speech)


def token_ids(
    checkpoint: TextCheckpoint, texts: Sequence[str], *, strip: bool | None = None
) -> list[Ids]:
    """Return the token ids of each transcript, unpadded, after the checkpoint's preparation.

    ``strip`` overrides the setting that removes leading and trailing spaces.
    """
    encode, preparation = checkpoint.bundle_tokenizer.encode, checkpoint.preparation
    if strip is not None:
        preparation = msgspec.structs.replace(preparation, strip=strip)
    return [encode(prepare(text, preparation)) for text in texts]


def _with_tokenizer(loaded: LoadedText) -> TextCheckpoint:
    return TextCheckpoint(**vars(loaded), bundle_tokenizer=bundle_tokenizer(loaded))


def _fusion(source: str) -> FusionCheckpoint:
    directory = Path(source)
    if not directory.is_dir():
        raise CheckpointError(
            f"{source}: no such directory. --fusion takes a checkpoint of `emo-train fusion`."
        )
    module = fusion_checkpoint.load_fusion(directory)
    config = read_config(directory)
    return FusionCheckpoint(
        directory, module, config, tuple(config["labels"]), weights_sha256(directory)
    )
