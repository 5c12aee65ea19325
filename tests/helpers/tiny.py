"""A tiny but complete bundle, made in milliseconds: no test needs a download or a trained model.

Its golden answers come from numpy, librosa and a vocabulary look-up, never from emo_runtime.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from emo_runtime.bundle.golden import Golden, GoldenAudio, GoldenCase, encode_golden
from emo_runtime.bundle.manifest import (
    Audio,
    File,
    Graph,
    Licence,
    Manifest,
    Task,
    TaskName,
    encode_manifest,
)
from emo_runtime.bundle.manifest import Tokenizer as TokenizerFile
from helpers.reference_audio import mean_mfcc
from helpers.sounds import speechlike
from helpers.tiny_graphs import FusionWeights, Precision, TextWeights, fusion_graph, text_graph

LABELS = ["anger", "disgust", "fear", "joy", "neutral", "sadness"]
WORDS = """hola estoy muy contenta con el resultado esto es una vergüenza no puedo más gracias por
todo qué asco me da miedo la noche triste y sola en mi casa ¡ ! ¿ ? . ,""".split()  # noqa: SIM905
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SENTENCES = (
    "hola estoy muy contenta con el resultado",
    "¡ esto es una vergüenza !",
    "no puedo más",
    "me da miedo la noche",
)
GOLDEN_RATE = 16_000


@dataclass(frozen=True)
class Tiny:
    """What the bundle shall be like."""

    seed: int = 7
    n_mfcc: int = 128
    hidden: int = 12
    max_tokens: int = 16
    text_only: bool = False
    separate_encoder: bool = False
    present_input: bool = False
    precisions: tuple[Precision, ...] = ("fp32",)
    fusion_precisions: tuple[Precision, ...] = ("fp32",)
    text_temperature: float = 1.3
    fusion_temperature: float = 0.8

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Words, then single letters as beginnings and as continuations."""
        letters = "abcdefghijklmnopqrstuvwxyzáéíóúüñ"
        pieces = [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
        return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}

    @functools.cached_property
    def text_weights(self) -> TextWeights:
        """Of the graph "text"."""
        return TextWeights.random(self.seed, len(self.vocabulary), self.hidden, len(LABELS))

    @functools.cached_property
    def encoder_weights(self) -> TextWeights:
        """Of whichever graph gives the embedding."""
        if not self.separate_encoder:
            return self.text_weights
        return TextWeights.random(self.seed + 1, len(self.vocabulary), self.hidden, len(LABELS))

    @functools.cached_property
    def fusion_weights(self) -> FusionWeights:
        """Of the graph "fusion"."""
        return FusionWeights.random(self.seed + 2, self.n_mfcc, self.hidden, 8, len(LABELS))

    def tasks(self) -> list[TaskName]:
        """The tasks that the bundle knows."""
        if self.text_only:
            return ["text"]
        return ["text", "fusion", "audio"] if self.present_input else ["text", "fusion"]

    def ids(self, sentence: str) -> NDArray[np.int64]:
        """Token ids [1, tokens] of a sentence of whole known words between blanks."""
        words = ["[CLS]", *sentence.split(), "[SEP]"]
        return np.array([[self.vocabulary[word] for word in words]], np.int64)

    def probabilities(
        self, task: TaskName, sentence: str | None, sound: tuple[NDArray[np.float32], int] | None
    ) -> NDArray[np.float64]:
        """The reference's answer, [labels]."""
        if task == "text":
            assert sentence is not None
            return softmax(self.text_weights.logits(self.ids(sentence))[0] / self.text_temperature)
        assert sound is not None
        samples, rate = sound
        at_22050 = librosa.resample(samples, orig_sr=rate, target_sr=22_050, res_type="soxr_hq")
        audio = mean_mfcc(at_22050, self.n_mfcc)[np.newaxis]
        text = np.zeros((1, self.hidden), np.float32)
        if task == "fusion":
            assert sentence is not None
            text = self.encoder_weights.embedding(self.ids(sentence))
        present = np.array([[1, task == "fusion"]], np.float32)
        logits = self.fusion_weights.logits(audio, text, present if self.present_input else None)
        return softmax(logits[0] / self.fusion_temperature)


def write_bundle(directory: Path, tiny: Tiny) -> Path:
    """Write the bundle into ``directory``, which must not exist."""
    directory.mkdir(parents=True)
    graphs = _graphs(directory, tiny)
    tokenizer = _write(directory, "tokenizer.json", tokenizer_json(tiny))
    golden = _write(directory, "golden.json", encode_golden(_golden(tiny)))
    card = _write(directory, "CARD.md", b"# Tiny\n\nRandom weights, for tests.\n")
    tasks: dict[TaskName, Task] = {"text": Task(graph="text", temperature=tiny.text_temperature)}
    if not tiny.text_only:
        tasks["fusion"] = Task(
            graph="fusion",
            text_graph="encoder" if tiny.separate_encoder else "text",
            strip=True,
            temperature=tiny.fusion_temperature,
        )
    if "audio" in tiny.tasks():
        tasks["audio"] = Task(graph="fusion", temperature=tiny.fusion_temperature)
    manifest = Manifest(
        schema="emo-bundle/1",
        name="tiny",
        version="1.0.0",
        licence=Licence(weights="CC0-1.0", notice="Random numbers."),
        language="es",
        labels=LABELS,
        tasks=tasks,
        graphs=graphs,
        tokenizers={
            "main": TokenizerFile(
                file=tokenizer.file,
                sha256=tokenizer.sha256,
                bytes=tokenizer.bytes,
                max_tokens=tiny.max_tokens,
                vocab_size=len(tiny.vocabulary),
            )
        },
        golden=golden,
        card=card,
        verification={},
        provenance={"seed": tiny.seed},
        audio=None if tiny.text_only else Audio(n_mfcc=tiny.n_mfcc, n_mels=max(128, tiny.n_mfcc)),
    )
    (directory / "manifest.json").write_bytes(encode_manifest(manifest))
    return directory


def tokenizer_json(tiny: Tiny) -> bytes:
    """A lower-casing WordPiece tokenizer over the tiny vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(tiny.vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(name, tiny.vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer.to_str().encode()


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of one row of logits."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def _graphs(directory: Path, tiny: Tiny) -> dict[str, Graph]:
    outputs: list[str] = ["logits"]
    if not tiny.text_only and not tiny.separate_encoder:
        outputs.append("embedding")
    graphs = {
        "text": Graph(
            outputs=outputs,
            tokenizer="main",
            hidden=tiny.hidden if "embedding" in outputs else None,
            variants={
                precision: _write(
                    directory,
                    f"text.{precision}.onnx",
                    text_graph(tiny.text_weights, outputs, precision),
                )
                for precision in tiny.precisions
            },
        )
    }
    if tiny.separate_encoder and not tiny.text_only:
        graphs["encoder"] = Graph(
            outputs=["embedding"],
            tokenizer="main",
            hidden=tiny.hidden,
            variants={
                precision: _write(
                    directory,
                    f"encoder.{precision}.onnx",
                    text_graph(tiny.encoder_weights, ["embedding"], precision),
                )
                for precision in tiny.precisions
            },
        )
    if not tiny.text_only:
        graphs["fusion"] = Graph(
            outputs=["logits"],
            hidden=tiny.hidden,
            present_input=tiny.present_input,
            variants={
                precision: _write(
                    directory,
                    f"fusion.{precision}.onnx",
                    fusion_graph(
                        tiny.fusion_weights,
                        present_input=tiny.present_input,
                        precision=precision,
                    ),
                )
                for precision in tiny.fusion_precisions
            },
        )
    return graphs


def _golden(tiny: Tiny) -> Golden:
    cases = []
    for number, sentence in enumerate(SENTENCES):
        pcm = (speechlike(0.3 + 0.2 * number, GOLDEN_RATE, seed=number) * 32767).astype(np.int16)
        sound = (pcm.astype(np.float32) / np.float32(32768), GOLDEN_RATE)
        for task in tiny.tasks():
            probabilities = tiny.probabilities(task, sentence, sound)
            cases.append(
                GoldenCase(
                    task=task,
                    probabilities=probabilities.tolist(),
                    text=None if task == "audio" else sentence,
                    audio=None if task == "text" else GoldenAudio.of(pcm, GOLDEN_RATE),
                )
            )
    return Golden(schema="emo-golden/1", labels=LABELS, cases=cases)


def _write(directory: Path, name: str, data: bytes) -> File:
    (directory / name).write_bytes(data)
    return File(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
