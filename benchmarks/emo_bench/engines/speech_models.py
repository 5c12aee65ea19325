"""Speech models in PyTorch for the rivals, with their feature extractors and tokenizers.

They are read from checkpoints of transformers, of speech-emotion and of this project.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoTokenizer,
    BertModel,
    Wav2Vec2BertConfig,
    WhisperFeatureExtractor,
)

from emo_bench.engines.toolkit_networks import (
    ToolkitHead,
    ToolkitSound,
    ToolkitSoundAlone,
    is_toolkit_model,
    read_weights,
)
from emo_models.checkpoint import load_fusion, load_speech
from emo_models.labels import LABELS
from emo_models.modeling.load import load_text
from emo_models.modeling.source import read_config
from emo_models.modeling.text_outputs import TextOutputs
from emo_runtime.errors import EmoError

Floats = NDArray[np.float32]

SAMPLE_RATE = 16_000
# speech-emotion truncates features to so many frames.
MAX_FRAMES = 16_000


@dataclass(frozen=True, eq=False)
class SpeechModel:
    """A speech model, alone or with text.

    Attributes:
        directory: Of the speech network.
        labels: In class order.
        input_name: Of the speech network.
        features: Samples at 16 kHz to its input [1, ...], without padding.
        sound: The input to a vector [1, width]; for sound alone to logits [1, labels].
        text: Token ids and mask [1, tokens] to a vector [1, width]; None for sound alone.
        head: Both vectors to logits; None for sound alone.
        tokenizer: Of transformers; None for sound alone.
        max_tokens: Longest text.
        strip: Spaces around a transcript are removed.
        temperature: Divisor of the logits.
        toolkit: True for a model of speech-emotion.
    """

    directory: Path
    labels: tuple[str, ...]
    input_name: str
    features: Callable[[Floats], Floats]
    sound: nn.Module
    text: nn.Module | None = None
    head: nn.Module | None = None
    tokenizer: Any = None
    max_tokens: int = 512
    strip: bool = False
    temperature: float = 1.0
    toolkit: bool = False

    def parts(self) -> tuple[nn.Module, nn.Module]:
        """Return the network of a model of speech-emotion, and its head."""
        if self.head is not None:
            return self.sound, self.head
        return self.sound.network, self.sound.head  # type: ignore[return-value]

    def tokenize(self, text: str, **options: Any) -> Any:
        """Return the token ids and the mask of a transcript."""
        text = text.strip() if self.strip else text
        return self.tokenizer(text, truncation=True, max_length=self.max_tokens, **options)


def read_speech_model(checkpoint: Path) -> SpeechModel:
    """Read the speech model of a checkpoint.

    Args:
        checkpoint: The directory of a speech model that answers sound alone, or a folder with
            ``speech/`` and the parts of its fusion: ``encoder/`` for a model of speech-emotion,
            ``text/`` and ``fusion/`` for one of this project.

    Raises:
        EmoError: A part is missing, or the kind is not known.
    """
    folder = checkpoint / "speech" if (checkpoint / "speech").is_dir() else checkpoint
    config = read_config(folder)
    if config.get("model_type") == "emo-speech":
        return _own(checkpoint, folder)
    if is_toolkit_model(folder):
        return _toolkit(checkpoint, folder)
    return _classifier(folder)


def _classifier(folder: Path) -> SpeechModel:
    model = AutoModelForAudioClassification.from_pretrained(folder).eval()
    names = model.config.id2label
    name, features = _extractor(folder)
    return SpeechModel(
        folder,
        tuple(names[number] for number in sorted(names)),
        name,
        features,
        _Logits(model).eval(),
    )


def _toolkit(checkpoint: Path, folder: Path) -> SpeechModel:
    state = read_weights(folder)
    config = Wav2Vec2BertConfig.from_pretrained(folder)
    network = ToolkitSound(config, state)
    head = ToolkitHead(state, read_config(folder), str(folder))
    names: dict[int, str] = config.id2label or {}
    count = len(state["classifier.out_proj.weight"])
    labels = tuple(names[number] for number in sorted(names)) if len(names) == count else LABELS
    name, features = _extractor(folder, max_length=MAX_FRAMES, truncation=True)
    if head.sound_alone:
        return SpeechModel(
            folder, labels, name, features, ToolkitSoundAlone(network, head).eval(), toolkit=True
        )
    encoder = checkpoint / "encoder"
    if not encoder.is_dir():
        raise EmoError(f"{checkpoint}: no encoder/, the BERT that this model reads text with.")
    text = BertModel.from_pretrained(encoder)
    return SpeechModel(
        folder,
        labels,
        name,
        features,
        network.eval(),
        _TextVector(text, "cls").eval(),
        head.eval(),
        AutoTokenizer.from_pretrained(encoder),
        toolkit=True,
    )


def _own(checkpoint: Path, folder: Path) -> SpeechModel:
    network = load_speech(folder)
    config = read_config(folder)
    level = config["front_end"]["level"]
    extractor = WhisperFeatureExtractor(feature_size=network.config.n_mels)

    def features(samples: Floats) -> Floats:
        rms = max(float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))), 1e-10)
        gain = 0.0 if level is None else level["target_dbfs"] - 20 * np.log10(rms)
        gain = gain if level is None else min(gain, level["max_gain_db"])
        leveled = (samples * 10 ** (gain / 20)).astype(np.float32)
        found = extractor(
            leveled, sampling_rate=SAMPLE_RATE, padding="do_not_pad", return_tensors="np"
        )
        values: Floats = found["input_features"]
        return values

    if not (checkpoint / "fusion").is_dir():
        return SpeechModel(
            folder,
            network.config.labels,
            "features",
            features,
            _OwnLogits(network).eval(),
            temperature=float(config.get("temperature", 1.0)),
        )
    text, fusion = load_text(checkpoint / "text"), load_fusion(checkpoint / "fusion")
    return SpeechModel(
        folder,
        tuple(text.labels),
        "features",
        features,
        _OwnVector(network).eval(),
        _TextVector(text.module, "mean").eval(),
        _OwnFusion(fusion, present=fusion.config.present_input).eval(),
        text.tokenizer,
        text.max_tokens,
        strip=True,
        temperature=fusion.details.temperature,
    )


def _extractor(folder: Path, **options: Any) -> tuple[str, Callable[[Floats], Floats]]:
    """Return the name of the network's input, and the feature extractor of transformers."""
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    [name] = [item for item in extractor.model_input_names if item != "attention_mask"]

    def features(samples: Floats) -> Floats:
        found = extractor(samples, sampling_rate=SAMPLE_RATE, return_tensors="np", **options)
        values: Floats = found[name]
        mask = found.get("attention_mask")
        if mask is not None and mask.shape == values.shape[:2]:
            values = values[:, : int(mask.sum())]
        return values

    return name, features


class _TextVector(nn.Module):
    def __init__(self, model: nn.Module, pooling: str) -> None:
        super().__init__()
        self.outputs = TextOutputs(model, ("embedding",), pooling)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vector: Tensor = self.outputs(input_ids, attention_mask)["embedding"]
        return vector


class _Logits(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.model(features).logits
        return logits


class _OwnLogits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.network(features)[1]
        return logits


class _OwnVector(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        vector: Tensor = self.network(features)[0] - self.network.population_mean
        return vector


class _OwnFusion(nn.Module):
    def __init__(self, fusion: nn.Module, *, present: bool) -> None:
        super().__init__()
        self.fusion = fusion
        self.present = present

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        more = (torch.ones(len(audio), 2),) if self.present else ()
        logits: Tensor = self.fusion(audio, text, *more)
        return logits
