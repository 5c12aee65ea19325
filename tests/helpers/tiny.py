"""A tiny but complete bundle, made in milliseconds: no test needs a download or a trained model.

Its golden answers come from numpy, librosa and a vocabulary look-up, never from emo_runtime.
"""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    LogMelSettings,
    MeanMfccSettings,
    WaveformSettings,
)
from emo_runtime.bundle.golden import Golden, GoldenAudio, GoldenCase, encode_golden
from emo_runtime.bundle.manifest import (
    Activation,
    Adaptation,
    File,
    Graph,
    Licence,
    Manifest,
    Task,
    TaskName,
    encode_manifest,
)
from emo_runtime.bundle.manifest import Tokenizer as TokenizerFile
from emo_runtime.text.preparation import TextPreparation
from helpers.reference_audio import mean_mfcc
from helpers.sounds import speechlike
from helpers.tiny_graphs import (
    SAMPLES_PER_STEP,
    FusionWeights,
    Precision,
    SpeechWeights,
    TextWeights,
    fusion_graph,
    speech_graph,
    text_graph,
)

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
    """Options of the bundle.

    ``speech``: kind of the front end of a speech graph. With ``audio_only`` the bundle has the task
    audio alone, answered by the speech graph itself. With ``adaptation`` the fusion graph's audio
    vectors are adapted to speakers with this weight.
    """

    seed: int = 7
    speech: Literal["log_mel", "kaldi_fbank", "waveform"] | None = None
    speech_width: int = 10
    max_s: float | None = None
    beyond_max: Literal["truncate", "windows"] = "truncate"
    audio_only: bool = False
    adaptation: float | None = None
    activation: Activation = "softmax"
    preparation: TextPreparation = dataclasses.field(default_factory=TextPreparation)
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
        weights = FusionWeights.random(self.seed + 2, self.audio_width, self.hidden, 8, len(LABELS))
        if self.speech is None:
            return weights
        # The graph's scale is for mean MFCCs, which reach some hundreds.
        return dataclasses.replace(weights, audio=weights.audio * np.float32(30))

    @functools.cached_property
    def speech_weights(self) -> SpeechWeights:
        """Of the graph "speech"."""
        inputs = {"log_mel": 80, "kaldi_fbank": 160, "waveform": SAMPLES_PER_STEP}
        assert self.speech is not None
        return SpeechWeights.random(
            self.seed + 3, inputs[self.speech], self.speech_width, len(LABELS)
        )

    @property
    def audio_width(self) -> int:
        """Width of the audio vector."""
        return self.n_mfcc if self.speech is None else self.speech_width

    @functools.cached_property
    def population(self) -> NDArray[np.float32]:
        """Population mean of the audio vectors."""
        draw = np.random.default_rng(self.seed + 4)
        return draw.normal(0, 1, self.audio_width).astype(np.float32)

    def front_end(self) -> FrontEndSettings:
        """Settings in the manifest."""
        limit = {"max_s": self.max_s, "beyond_max": self.beyond_max}
        if self.speech is None:
            return MeanMfccSettings(n_mfcc=self.n_mfcc, n_mels=max(128, self.n_mfcc), **limit)
        kinds = {
            "log_mel": LogMelSettings,
            "kaldi_fbank": KaldiFbankSettings,
            "waveform": WaveformSettings,
        }
        return kinds[self.speech](**limit)

    def steps(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Time steps [1, time, inputs] of samples at 16 kHz, by the library that defines them."""
        if self.speech == "waveform":
            normalized = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
            count = len(samples) // SAMPLES_PER_STEP
            return normalized[: count * SAMPLES_PER_STEP].reshape(1, count, -1)
        pytest.importorskip("transformers", reason="the reference features need transformers")
        from helpers.reference_features import seamless_in_float64, whisper_numpy

        if self.speech == "log_mel":
            return whisper_numpy(samples).transpose(0, 2, 1)
        frames = 1 + (len(samples) - 400) // 160
        return seamless_in_float64(samples)[:, : frames // 2]

    def audio_vector(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
        """The vector [1, width] of sound, before any adaptation."""
        target = 22_050 if self.speech is None else 16_000
        converted = librosa.resample(samples, orig_sr=rate, target_sr=target, res_type="soxr_hq")
        if self.speech is None:
            return mean_mfcc(converted, self.n_mfcc)[np.newaxis]
        return self.speech_weights.embedding(self.steps(converted))

    def tasks(self) -> list[TaskName]:
        """The tasks that the bundle knows."""
        if self.text_only:
            return ["text"]
        if self.audio_only:
            return ["audio"]
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
            logits = self.text_weights.logits(self.ids(sentence))[0]
            return self.activate(logits / self.text_temperature)
        assert sound is not None
        audio = self.audio_vector(*sound)
        if self.audio_only:
            logits = audio @ self.speech_weights.classifier + self.speech_weights.bias
            return self.activate(logits[0] / self.fusion_temperature)
        if self.adaptation is not None:
            audio = audio - self.population
        text = np.zeros((1, self.hidden), np.float32)
        if task == "fusion":
            assert sentence is not None
            text = self.encoder_weights.embedding(self.ids(sentence))
        present = np.array([[1, task == "fusion"]], np.float32)
        logits = self.fusion_weights.logits(audio, text, present if self.present_input else None)
        return self.activate(logits[0] / self.fusion_temperature)

    def activate(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities of one row of logits."""
        if self.activation == "softmax":
            return softmax(logits)
        return 1 / (1 + np.exp(-logits.astype(np.float64)))


def write_bundle(directory: Path, tiny: Tiny) -> Path:
    """Write the bundle into ``directory``, which must not exist."""
    directory.mkdir(parents=True)
    graphs = _graphs(directory, tiny)
    tokenizers = {}
    if not tiny.audio_only:
        tokenizer = _write(directory, "tokenizer.json", tokenizer_json(tiny))
        tokenizers["main"] = TokenizerFile(
            file=tokenizer.file,
            sha256=tokenizer.sha256,
            bytes=tokenizer.bytes,
            max_tokens=tiny.max_tokens,
            vocab_size=len(tiny.vocabulary),
        )
    golden = _write(directory, "golden.json", encode_golden(_golden(tiny)))
    card = _write(directory, "CARD.md", b"# Tiny\n\nRandom weights, for tests.\n")
    adaptation = None
    if tiny.adaptation is not None:
        mean = _write(directory, "population.f32", tiny.population.astype("<f4").tobytes())
        adaptation = Adaptation(mean=mean, weight=tiny.adaptation)
    manifest = Manifest(
        name="tiny",
        version="1.0.0",
        licence=Licence(weights="CC0-1.0", notice="Random numbers."),
        language="es",
        labels=LABELS,
        tasks=_tasks(tiny),
        graphs=graphs,
        tokenizers=tokenizers,
        golden=golden,
        card=card,
        verification={},
        provenance={"seed": tiny.seed},
        audio=None if tiny.text_only else tiny.front_end(),
        adaptation=adaptation,
    )
    (directory / "manifest.json").write_bytes(encode_manifest(manifest))
    return directory


def _tasks(tiny: Tiny) -> dict[TaskName, Task]:
    temperature = tiny.fusion_temperature
    if tiny.audio_only:
        return {"audio": Task("speech", temperature=temperature, activation=tiny.activation)}
    tasks: dict[TaskName, Task] = {
        "text": Task(
            graph="text",
            temperature=tiny.text_temperature,
            preparation=tiny.preparation,
            activation=tiny.activation,
        )
    }
    audio_graph = None if tiny.speech is None else "speech"
    if not tiny.text_only:
        tasks["fusion"] = Task(
            graph="fusion",
            text_graph="encoder" if tiny.separate_encoder else "text",
            audio_graph=audio_graph,
            preparation=TextPreparation(strip=True),
            temperature=temperature,
            activation=tiny.activation,
        )
    if "audio" in tiny.tasks():
        tasks["audio"] = Task(
            graph="fusion",
            audio_graph=audio_graph,
            temperature=temperature,
            activation=tiny.activation,
        )
    return tasks


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
    graphs = {}
    if tiny.speech is not None:
        gives = "logits" if tiny.audio_only else "embedding"
        data = speech_graph(tiny.speech_weights, tiny.speech, [gives])
        graphs["speech"] = Graph(
            kind="speech",
            outputs=[gives],
            width=None if tiny.audio_only else tiny.speech_width,
            pooling="mean_std",
            variants={"fp32": _write(directory, "speech.fp32.onnx", data)},
        )
    if tiny.audio_only:
        return graphs
    outputs: list[str] = ["logits"]
    if not tiny.text_only and not tiny.separate_encoder:
        outputs.append("embedding")
    graphs |= {
        "text": Graph(
            kind="text",
            outputs=outputs,
            tokenizer="main",
            pooling="mean" if "embedding" in outputs else None,
            width=tiny.hidden if "embedding" in outputs else None,
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
            kind="encoder",
            outputs=["embedding"],
            tokenizer="main",
            pooling="mean",
            width=tiny.hidden,
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
            kind="fusion",
            outputs=["logits"],
            audio_width=tiny.audio_width,
            text_width=tiny.hidden,
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
