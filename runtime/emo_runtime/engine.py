"""The two branches of the data's way and the place where they meet; no state but what was loaded.

A recognizer calls these steps for whole utterances, a stream for what it has collected.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.decode import AudioSource, decode, resample, silent_wav
from emo_runtime.audio.mfcc import TELEPHONE_HZ, MeanMfcc
from emo_runtime.bundle.manifest import Precision, TaskName
from emo_runtime.bundle.reader import Bundle
from emo_runtime.errors import AudioError, BundleError, TaskError, TextError
from emo_runtime.notes import Note
from emo_runtime.ort.loading import LoadOptions, load_graphs
from emo_runtime.ort.session import Session
from emo_runtime.result import Answer, Timings
from emo_runtime.text.tokenizer import TextTokenizer

Floats = NDArray[np.float32]

_NARROW = Note(
    "narrow_band",
    f"the sound has no energy above {TELEPHONE_HZ:g} Hz (telephone band), the model was trained "
    "with it: trust the transcript more than the sound",
)
_INPUTS_OF_TASKS = "Text alone runs 'text', text and audio 'fusion', audio alone 'audio'."


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """The branch of the sound: mean MFCC vector [1, n_mfcc] of ``duration_s`` seconds."""

    vector: Floats
    duration_s: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """The branch of the transcript: logits (task text) or embedding, [1, width]."""

    vector: Floats
    tokens: int
    notes: tuple[Note, ...]


class Clock:
    """Milliseconds by step, for one answer."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Count what happens inside as ``step``."""
        start = time.perf_counter()
        yield
        self._steps[f"{step}_ms"] = (time.perf_counter() - start) * 1e3

    def timings(self) -> Timings:
        """The steps so far, and the whole since the clock was made."""
        return Timings(**self._steps, total_ms=(time.perf_counter() - self._start) * 1e3)


class Engine:
    """Sessions, tokenizers and the MFCC front end of the tasks that were asked for."""

    def __init__(
        self, bundle: Bundle, tasks: tuple[TaskName, ...], load_options: LoadOptions
    ) -> None:
        self.manifest = bundle.manifest
        self.tasks = tasks
        self.sessions = load_graphs(bundle, tasks, load_options)
        self._tokenizers = _load_tokenizers(bundle, self.sessions)
        contract = bundle.manifest.audio if set(tasks) - {"text"} else None
        self._mfcc = None if contract is None else MeanMfcc(contract)

    def warm_up(self) -> None:
        """Answer invented inputs of usual lengths, so that the first real answer is a quick one."""
        for words, seconds in ((8, 1.0), (32, 5.0), (64, 10.0)) * 2:
            clock = Clock()
            for task in self.tasks:
                audio_features = text_features = None
                if task != "text":
                    audio_features = self.encode_audio(silent_wav(seconds), seconds + 1, clock)
                if task != "audio":
                    text_features = self.encode_text("hola " * words, task, clock)
                self.predict(task, audio_features, text_features, clock)

    def describe(self) -> dict[str, dict[str, Any]]:
        """What runs each graph: precision, providers, nodes by provider, threads; plain values."""
        return {
            name: {
                "precision": session.precision,
                "providers": list(session.providers),
                "nodes": session.nodes,
                "threads": session.threads,
            }
            for name, session in self.sessions.items()
        }

    def resolve_task(self, wanted: TaskName | None, *, has_text: bool, has_audio: bool) -> TaskName:
        """The task for the inputs that are there. Raises TaskError, TextError, AudioError."""
        if not has_text and not has_audio:
            raise TaskError("neither text nor audio was given: give one, or both.")
        name = wanted or ("fusion" if has_text and has_audio else "text" if has_text else "audio")
        if name not in self.tasks:
            raise TaskError(
                f"the task {name!r} is not there (this recognizer knows: "
                f"{', '.join(self.tasks)}). {_INPUTS_OF_TASKS}"
            )
        if not has_text and name != "audio":
            raise TextError(f"the task {name!r} needs a transcript. {_INPUTS_OF_TASKS}")
        if not has_audio and name != "text":
            raise AudioError(f"the task {name!r} needs sound. {_INPUTS_OF_TASKS}")
        return name

    def precisions(self, name: TaskName) -> frozenset[Precision]:
        """The precisions of the graphs that answer a task."""
        task = self.manifest.tasks[name]
        return frozenset(
            self.sessions[graph].precision
            for graph in (task.graph, task.text_graph)
            if graph is not None
        )

    def encode_audio(
        self, audio: AudioSource, max_duration_s: float, clock: Clock
    ) -> AudioFeatures:
        """The branch of the sound, for a whole utterance. Raises AudioError."""
        front_end = self.front_end()
        with clock("decode"):
            sound = decode(audio, max_duration_s)
        with clock("resample"):
            samples = resample(sound, front_end.contract.sample_rate)
        with clock("mfcc"):
            log_mel = front_end.centred_log_mel(samples)
            return self.pool_frames(log_mel, sound.duration_s, sound.notes)

    def pool_frames(
        self, log_mel: Floats, duration_s: float, notes: tuple[Note, ...]
    ) -> AudioFeatures:
        """The mean MFCC vector of all the log-mel frames [frames, n_mels] of an utterance."""
        front_end = self.front_end()
        trained_hz = front_end.contract.bandwidth_hz
        if (trained_hz is None or trained_hz > TELEPHONE_HZ) and front_end.is_narrow(log_mel):
            notes += (_NARROW,)
        return AudioFeatures(front_end.mean(log_mel)[np.newaxis], duration_s, notes)

    def front_end(self) -> MeanMfcc:
        """The MFCC front end. Raises TaskError where no task with sound was loaded."""
        if self._mfcc is None:
            raise TaskError(f"this recognizer was opened without sound. {_INPUTS_OF_TASKS}")
        return self._mfcc

    def encode_text(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """The branch of the transcript, as task ``name`` wants it. Raises TextError."""
        task = self.manifest.tasks[name]
        graph, output = (task.graph, "logits") if name == "text" else (task.text_graph, "embedding")
        graph = str(graph)
        with clock("tokenize"):
            tokens = self._tokenizers[graph](text, strip=task.strip)
        with clock("text"):
            feeds = {"input_ids": tokens.ids, "attention_mask": np.ones_like(tokens.ids)}
            [vector] = self.sessions[graph].run([output], feeds)
        width = len(self.manifest.labels) if name == "text" else self.manifest.graphs[graph].hidden
        _check_row(vector, width, graph)
        return TextFeatures(vector, tokens.ids.shape[1], tokens.notes)

    def predict(
        self,
        name: TaskName,
        audio_features: AudioFeatures | None,
        text_features: TextFeatures | None,
        clock: Clock,
    ) -> Answer:
        """Combine audio and text features, and return the calibrated answer."""
        task = self.manifest.tasks[name]
        if audio_features is not None:
            with clock("fusion"):
                logits = self._fuse(task.graph, audio_features, text_features)
        elif text_features is not None:
            logits = text_features.vector
        scores = _softmax(logits[0] / task.temperature)
        best = int(scores.argmax())
        return Answer(
            task=name,
            label=self.manifest.labels[best],
            confidence=float(scores[best]),
            scores=dict(zip(self.manifest.labels, scores.tolist(), strict=True)),
            tokens=0 if text_features is None else text_features.tokens,
            duration_s=0.0 if audio_features is None else audio_features.duration_s,
            provider=self.sessions[task.graph].providers[0],
            timings=clock.timings(),
            notes=(audio_features.notes if audio_features else ())
            + (text_features.notes if text_features else ()),
        )

    def _fuse(
        self, name: str, audio_features: AudioFeatures, text_features: TextFeatures | None
    ) -> Floats:
        """Logits [1, labels]."""
        graph = self.manifest.graphs[name]
        embedding = (
            np.zeros((1, graph.hidden or 0), np.float32)
            if text_features is None
            else text_features.vector
        )
        feeds = {"audio": audio_features.vector, "text": embedding}
        if graph.present_input:
            feeds["present"] = np.array([[1, text_features is not None]], np.float32)
        [logits] = self.sessions[name].run(["logits"], feeds)
        _check_row(logits, len(self.manifest.labels), name)
        return logits


def _load_tokenizers(bundle: Bundle, sessions: dict[str, Session]) -> dict[str, TextTokenizer]:
    """A tokenizer for each text-side graph; graphs that share one share the object."""
    by_name: dict[str, TextTokenizer] = {}
    by_graph = {}
    for graph in sessions:
        name = bundle.manifest.graphs[graph].tokenizer
        if name is None:
            continue
        if name not in by_name:
            file = bundle.manifest.tokenizers[name]
            by_name[name] = TextTokenizer(
                bundle.read(file), file.file, file.max_tokens, file.vocab_size
            )
        by_graph[graph] = by_name[name]
    return by_graph


def _check_row(row: Floats, width: int | None, graph: str) -> None:
    if row.shape != (1, width) or not np.isfinite(row).all():
        raise BundleError(
            f"graph {graph!r} gave numbers that are not finite, or of shape {row.shape} where "
            f"{(1, width)} was expected: its weights are damaged, or this provider is. "
            "Run `emo-bundle verify`, or ask for providers='cpu'."
        )


def _softmax(logits: Floats) -> NDArray[np.float64]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    scores: NDArray[np.float64] = exponentials / exponentials.sum()
    return scores
