"""Randomly initialised checkpoints on disk, as emo_models writes them: small and fast to create.

Biases and layer norms get noise: those of a fresh network are all zeros and ones, which ONNX
Runtime would fold, unlike those of a trained one.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

from emo_export.checkpoints.load import Checkpoints, load
from emo_export.evaluation import latency
from emo_export.evaluation.rows import Evaluation, shipped_sentences
from emo_export.onnx_graph import encode
from emo_export.options import Sources
from emo_models.checkpoint import save_fusion, save_speech, save_text
from emo_models.labels import LABELS
from emo_models.modeling.fusion import FusionConfig, FusionNetwork, TrainedFusion
from emo_models.modeling.late_fusion import LateFusionConfig, LateFusionNetwork
from emo_models.modeling.source import file_sha256
from emo_models.modeling.speech import SpeechConfig, SpeechEmotionModel
from emo_models.modeling.text_classifier import text_classifier
from emo_models.training.tokenizer import SPECIAL_TOKENS, save_tokenizer, train_tokenizer
from emo_runtime.bundle.front_ends import Level, LogMelSettings
from emo_runtime.ort.session import load_onnxruntime

POSITIONS = 80
VOCABULARY = 600
SIZE = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": POSITIONS,
    "vocab_size": VOCABULARY,
}
LABEL_NAMES = {
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: index for index, label in enumerate(LABELS)},
}


def noisy(model: nn.Module, seed: int) -> nn.Module:
    """Random biases and layer norms, and a head whose logits differ clearly; in place."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if name.endswith("bias"):
            parameter.data = 0.1 * noise
        elif "LayerNorm" in name or "layer_norm" in name:
            parameter.data = 1 + 0.2 * noise
        elif "classifier" in name or "embeddings" in name:
            parameter.data = 0.5 * noise
        elif parameter.dim() == 2:
            parameter.data = noise / parameter.shape[1] ** 0.5
    return model.eval()


def fixed_tokenizer() -> Tokenizer:
    """The letters and the most frequent words of the sentences that ship."""
    words = Counter(word for text in shipped_sentences().texts for word in text.split())
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted(words, key=lambda word: (-words[word], word))
    entries = [*SPECIAL_TOKENS, *letters, *(f"##{letter}" for letter in letters), *frequent]
    vocabulary = {entry: index for index, entry in enumerate(dict.fromkeys(entries))}
    kept = {entry: index for entry, index in vocabulary.items() if index < VOCABULARY}
    tokenizer = train_tokenizer(list, vocab_size=len(SPECIAL_TOKENS))
    tokenizer.model = WordPiece(kept, unk_token="[UNK]")
    return tokenizer


class Maker:
    """Makes checkpoints below a directory, each one once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        directory = root / "tokenizer"
        save_tokenizer(fixed_tokenizer(), directory, positions=POSITIONS)
        self.tokenizer = AutoTokenizer.from_pretrained(directory)

    def text(self, pooling: str = "cls", seed: int = 1, **extra: Any) -> Path:
        """A classifier; ``pooling`` is ``cls`` (stock BERT) or ``mean``; ``extra``: config.json."""
        directory = self._directory("text", pooling, seed, **extra)
        if not directory.is_dir():
            config = BertConfig(**SIZE, **LABEL_NAMES, pooling=pooling)
            model = noisy(text_classifier(config), seed)
            save_text(directory, model, self.tokenizer, temperature=1.25)
            change_config(directory, **extra)
        return directory

    def outliers(self) -> Path:
        """A classifier with one channel of large activations, as trained ones have."""
        directory = self.root / "outliers"
        if not directory.is_dir():
            model: Any = noisy(text_classifier(BertConfig(**SIZE, **LABEL_NAMES)), 11)
            model.bert.encoder.layer[0].output.LayerNorm.weight.data[0] *= 60
            save_text(directory, model, self.tokenizer)
        return directory

    def encoder(self, seed: int = 2) -> Path:
        """An encoder without a head."""
        directory = self._directory("encoder", seed)
        if not directory.is_dir():
            model = noisy(BertModel(BertConfig(**SIZE), add_pooling_layer=False), seed)
            save_text(directory, model, self.tokenizer)
        return directory

    def fusion(self, encoder: Path, seed: int = 3, **shape: Any) -> Path:
        """A fusion network for the embeddings of ``encoder``; ``shape``: FusionConfig's."""
        directory = self._directory("fusion", encoder.name, seed, **shape)
        if not directory.is_dir():
            torch.manual_seed(seed)
            hidden = json.loads((encoder / "config.json").read_text())["hidden_size"]
            network = FusionNetwork(FusionConfig(**{"hidden": hidden, "fused": 64, **shape}))
            noisy(network, seed)
            n_mfcc = network.config.n_mfcc
            network.audio_shift.copy_(torch.randn(n_mfcc))
            network.audio_scale.fill_(0.1)
            network.details = TrainedFusion(
                temperature=1.5,
                encoder_sha256=file_sha256(encoder / "model.safetensors"),
                audio={"n_mfcc": n_mfcc, "n_mels": max(128, n_mfcc)},
            )
            save_fusion(directory, network)
        return directory

    def speech(self, seed: int = 8, **extra: Any) -> Path:
        """A speech network of this project, with speaker adaptation; ``extra``: config.json."""
        directory = self._directory("speech", seed, **extra)
        if not directory.is_dir():
            torch.manual_seed(seed)
            shape = SpeechConfig(width=32, heads=4, inner=48, positions=300)
            network: Any = noisy(SpeechEmotionModel(shape), seed)
            network.head.weight.data.normal_()
            network.population_mean.normal_()
            settings = LogMelSettings(level=Level(target_dbfs=-23, max_gain_db=60), max_s=5.0)
            save_speech(directory, network, settings, temperature=1.2, adaptation_weight=4.0)
            change_config(directory, **extra)
        return directory

    def late_fusion(self, encoder: Path, speech: Path, seed: int = 9) -> Path:
        """A late fusion network for the embeddings of ``encoder`` and ``speech``."""
        directory = self._directory("late", encoder.name, speech.name, seed)
        if not directory.is_dir():
            torch.manual_seed(seed)
            hidden = json.loads((encoder / "config.json").read_text())["hidden_size"]
            network: Any = LateFusionNetwork(LateFusionConfig(audio_width=64, hidden=hidden))
            network.details = TrainedFusion(
                1.5,
                file_sha256(encoder / "model.safetensors"),
                speech_sha256=file_sha256(speech / "model.safetensors"),
            )
            save_fusion(directory, network)
        return directory

    def other(self, name: str, model: Any) -> Path:
        """Any transformers model, with the small tokenizer."""
        directory = self.root / name
        if not directory.is_dir():
            save_text(directory, noisy(model, 5), self.tokenizer)
        return directory

    def _directory(self, *parts: object, **more: object) -> Path:
        words = [*parts, *(f"{key}-{value}" for key, value in more.items())]
        return self.root / "_".join(str(word) for word in words)


def change_config(directory: Path, **changes: Any) -> None:
    """Change keys of a config.json; None takes one out."""
    path = directory / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Makes checkpoints; the same directory for the same arguments: never change it."""
    return Maker(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="session")
def loaded() -> Callable[..., Checkpoints]:
    """``load`` by paths."""

    def load_paths(
        text: Path | None = None,
        encoder: Path | None = None,
        fusion: Path | None = None,
        speech: Path | None = None,
    ) -> Checkpoints:
        paths = (text, encoder, fusion, speech)
        return load(Sources(*(None if path is None else str(path) for path in paths)))

    return load_paths


@pytest.fixture(scope="session")
def few() -> Evaluation:
    """Some of the sentences that ship, of every label and of most lengths."""
    shipped = shipped_sentences()
    return Evaluation("a few sentences", shipped.rows[::13])


@pytest.fixture(scope="session")
def few_csv(few: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file for ``--evaluate``."""
    import csv

    path = tmp_path_factory.mktemp("evaluate") / "few.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows((row.text, row.label) for row in few.rows)
    return path


@pytest.fixture(scope="session")
def few_texts(few: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without labels: for models with other labels."""
    path = tmp_path_factory.mktemp("evaluate") / "texts.csv"
    lines = ['"' + text.replace('"', '""') + '"' for text in few.texts]
    path.write_text("\n".join(["text", *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def as_loaded(tmp_path: Path) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
    """Return the graph as optimized by ONNX Runtime when it is loaded."""

    def load_graph(model: onnx.ModelProto) -> onnx.ModelProto:
        runtime = load_onnxruntime()
        options = runtime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "seen.onnx")
        options.log_severity_level = 3
        runtime.InferenceSession(encode(model), options, providers=["CPUExecutionProvider"])
        return onnx.load(tmp_path / "seen.onnx")

    return load_graph


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """PyTorch on one thread: the networks are too small to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of the latency measurement do not matter here, so that it need not pause."""
    monkeypatch.setattr(latency, "_PAUSE_S", 0)
