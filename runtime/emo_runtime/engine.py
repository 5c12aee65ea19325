"""The inference engine: audio and text encoding, fusion, calibrated probabilities.

An engine has no mutable state. A recognizer calls it for whole utterances, a stream for the sound
and text that it has collected.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.decode import MAX_DURATION_S, AudioSource, decode, resample, silent_wav
from emo_runtime.audio.mfcc import TELEPHONE_HZ, MeanMfcc
from emo_runtime.bundle.manifest import File, Manifest, Precision, TaskName
from emo_runtime.errors import AudioError, BundleError, TaskError, TextError
from emo_runtime.ort.session import Session
from emo_runtime.probabilities import softmax
from emo_runtime.result import Answer, Note
from emo_runtime.text.tokenizer import TextTokenizer
from emo_runtime.timing import Clock

Floats = NDArray[np.float32]

_NARROW = Note(
    "narrow_band",
    f"the sound has no energy above {TELEPHONE_HZ:g} Hz (telephone band), but the model was "
    "trained with it; rely more on the transcript than on the sound",
)
_INPUTS_OF_TASKS = "Text alone runs 'text', text and audio 'fusion', audio alone 'audio'."
# Words and seconds of the inputs that warm the sessions up.
_WARM_UP_INPUTS = ((8, 1.0), (32, 5.0), (64, 10.0))


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """Encoded sound of one utterance: the mean MFCC vector, [1, n_mfcc]."""

    vector: Floats
    duration_s: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Encoded transcript of one utterance: logits (task text) or an embedding, [1, width]."""

    vector: Floats
    tokens: int
    notes: tuple[Note, ...]


class Engine:
    """Tokenizers, front end and graph sessions of the loaded tasks.

    Args:
        manifest: The bundle's manifest.
        tasks: Tasks to answer.
        sessions: A session for every graph that the tasks use, by the graph's name. Any
            implementation of ``Session``: ONNX Runtime in this process, or an inference server.
        read: Returns the verified bytes of a file of the bundle.
    """

    def __init__(
        self,
        manifest: Manifest,
        tasks: tuple[TaskName, ...],
        sessions: Mapping[str, Session],
        read: Callable[[File], bytes],
    ) -> None:
        self.manifest = manifest
        self.tasks = tasks
        self.sessions = sessions
        self._tokenizers = _load_tokenizers(manifest, sessions, read)
        contract = manifest.audio if set(tasks) - {"text"} else None
        self._mfcc = None if contract is None else MeanMfcc(contract)

    def recognize(
        self,
        text: str | None,
        audio: AudioSource | None,
        task: TaskName | None = None,
        max_duration_s: float = MAX_DURATION_S,
    ) -> Answer:
        """Answer one whole utterance. Raises TaskError, TextError, AudioError, ProviderError."""
        name = self.resolve_task(task, has_text=text is not None, has_audio=audio is not None)
        clock = Clock()
        audio_features = text_features = None
        if audio is not None and name != "text":
            audio_features = self.encode_audio(audio, max_duration_s, clock)
        if text is not None and name != "audio":
            text_features = self.encode_text(text, name, clock)
        return self.predict(name, audio_features, text_features, clock)

    def warm_up(self) -> None:
        """Answer synthetic inputs of usual lengths, so that the first real answer is not slow."""
        for words, seconds in _WARM_UP_INPUTS * 2:
            for task in self.tasks:
                text = None if task == "audio" else "hola " * words
                audio = None if task == "text" else silent_wav(seconds)
                self.recognize(text, audio, task)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Precision, providers, nodes by provider and threads of each graph, as plain values."""
        return {
            name: {
                "precision": session.precision,
                "providers": list(session.providers),
                "nodes": dict(session.nodes),
                "threads": session.threads,
            }
            for name, session in self.sessions.items()
        }

    def resolve_task(self, wanted: TaskName | None, *, has_text: bool, has_audio: bool) -> TaskName:
        """Return the task for the given inputs. Raises TaskError, TextError, AudioError."""
        if not has_text and not has_audio:
            raise TaskError("neither text nor audio was given. Give one, or both.")
        name = wanted or ("fusion" if has_text and has_audio else "text" if has_text else "audio")
        if name not in self.tasks:
            raise TaskError(
                f"the task {name!r} is not loaded (loaded tasks: {', '.join(self.tasks)}). "
                f"{_INPUTS_OF_TASKS}"
            )
        if not has_text and name != "audio":
            raise TextError(f"the task {name!r} needs a transcript. {_INPUTS_OF_TASKS}")
        if not has_audio and name != "text":
            raise AudioError(f"the task {name!r} needs sound. {_INPUTS_OF_TASKS}")
        return name

    def precisions(self, name: TaskName) -> frozenset[Precision]:
        """Return the precisions of the graphs that answer a task."""
        task = self.manifest.tasks[name]
        return frozenset(
            self.sessions[graph].precision
            for graph in (task.graph, task.text_graph)
            if graph is not None
        )

    def encode_audio(
        self, audio: AudioSource, max_duration_s: float, clock: Clock
    ) -> AudioFeatures:
        """Encode the sound of a whole utterance. Raises AudioError."""
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
        """Encode an utterance from all its log-mel frames [frames, n_mels]."""
        front_end = self.front_end()
        trained_hz = front_end.contract.bandwidth_hz
        if (trained_hz is None or trained_hz > TELEPHONE_HZ) and front_end.is_narrow(log_mel):
            notes += (_NARROW,)
        return AudioFeatures(front_end.mean(log_mel)[np.newaxis], duration_s, notes)

    def front_end(self) -> MeanMfcc:
        """Return the front end. Raises TaskError if no task with sound is loaded."""
        if self._mfcc is None:
            raise TaskError(f"no task with sound is loaded. {_INPUTS_OF_TASKS}")
        return self._mfcc

    def encode_text(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """Encode a transcript for the task ``name``. Raises TextError."""
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
        scores = softmax(logits[0] / task.temperature)
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
        """Return logits [1, labels] of the fusion graph."""
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


def _load_tokenizers(
    manifest: Manifest, sessions: Mapping[str, Session], read: Callable[[File], bytes]
) -> dict[str, TextTokenizer]:
    """Return the tokenizer of each text graph; graphs with the same one share the object."""
    by_name: dict[str, TextTokenizer] = {}
    by_graph = {}
    for graph in sessions:
        name = manifest.graphs[graph].tokenizer
        if name is None:
            continue
        if name not in by_name:
            file = manifest.tokenizers[name]
            by_name[name] = TextTokenizer(read(file), file.file, file.max_tokens, file.vocab_size)
        by_graph[graph] = by_name[name]
    return by_graph


def _check_row(row: Floats, width: int | None, graph: str) -> None:
    if row.shape != (1, width) or not np.isfinite(row).all():
        raise BundleError(
            f"graph {graph!r} returned values that are not finite, or of shape {row.shape} instead "
            f"of {(1, width)}. Its weights or the provider are damaged: run `emo-bundle verify`, "
            "or use providers='cpu'."
        )
