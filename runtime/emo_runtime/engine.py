"""The inference engine: audio and text encoding, fusion, calibrated probabilities.

An engine has no mutable state. A recognizer calls it for whole utterances, a stream for the sound
and text that it has collected.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_runtime.adaptation import SpeakerAdaptation
from emo_runtime.arguments import shown
from emo_runtime.audio.decode import MAX_DURATION_S, AudioSource, decode, resample, silent_wav
from emo_runtime.audio.features import Features, average_windows
from emo_runtime.audio.front_end import FrontEnd, make_front_end
from emo_runtime.audio.quality import measure, speech_notes
from emo_runtime.bundle.front_ends import WaveformSettings
from emo_runtime.bundle.manifest import File, Manifest, Precision, TaskName
from emo_runtime.errors import AudioError, BundleError, TaskError, TextError
from emo_runtime.notes import Note
from emo_runtime.ort.session import Session
from emo_runtime.probabilities import sigmoid, softmax
from emo_runtime.result import Answer
from emo_runtime.speaker import Speaker
from emo_runtime.text.tokenizer import TextTokenizer
from emo_runtime.timing import Clock

Floats = NDArray[np.float32]

_INPUTS_OF_TASKS = "Text alone runs 'text', text and audio 'fusion', audio alone 'audio'."
# Words and seconds of the inputs that warm the sessions up.
_WARM_UP_INPUTS = ((8, 1.0), (32, 5.0), (64, 10.0))


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """Encoded sound of one utterance.

    Attributes:
        vector: The audio vector of the fusion graph, or the logits of a speech graph that answers
            the task directly; [1, width].
        duration_s: Seconds of sound.
        notes: Remarks on the sound.
    """

    vector: Floats
    duration_s: float
    notes: tuple[Note, ...]


@dataclass(frozen=True, eq=False)
class TextFeatures:
    """Encoded transcript of one utterance: logits (task text) or an embedding, [1, width]."""

    vector: Floats
    tokens: int
    notes: tuple[Note, ...]


@dataclass(frozen=True, eq=False)
class EncodedUtterance:
    """An utterance for which only the last step is missing."""

    task: TaskName
    audio: AudioFeatures | None
    text: TextFeatures | None
    clock: Clock


class Engine:
    """Tokenizers, front end and graph sessions of the loaded tasks.

    Args:
        manifest: The bundle's manifest.
        tasks: Tasks to answer.
        sessions: A session for every graph that the tasks use, by the graph's name. Any
            implementation of ``Session``: ONNX Runtime in this process, or an inference server.
        read: Returns the verified bytes of a file of the bundle.
        min_confidence: Answers below it are marked as uncertain.
        max_duration_s: Maximum duration of an utterance that is given as a whole.
    """

    def __init__(
        self,
        manifest: Manifest,
        tasks: tuple[TaskName, ...],
        sessions: Mapping[str, Session],
        read: Callable[[File], bytes],
        *,
        min_confidence: float = 0.0,
        max_duration_s: float = MAX_DURATION_S,
    ) -> None:
        self.manifest = manifest
        self.tasks = tasks
        self.sessions = sessions
        self._min_confidence = min_confidence
        self._max_duration_s = max_duration_s
        self._tokenizers = _load_tokenizers(manifest, sessions, read)
        with_sound = manifest.audio is not None and set(tasks) - {"text"}
        self._front_end = make_front_end(manifest.audio) if with_sound and manifest.audio else None
        self._adaptation = SpeakerAdaptation.load(manifest, read) if with_sound else None

    def with_default_limit(self) -> "Engine":
        """Return this engine with the default limit of duration; sessions are shared."""
        other = copy.copy(self)
        other._max_duration_s = MAX_DURATION_S
        return other

    def recognize(
        self,
        text: str | None,
        audio: AudioSource | None,
        task: TaskName | None = None,
        speaker: Speaker | None = None,
    ) -> Answer:
        """Answer one whole utterance, and add it to the speaker's profile.

        Raises TaskError, TextError, AudioError, ProviderError.
        """
        self.check_speaker(speaker)
        encoded = self.encode(text, audio, task)
        answer = self.answer(encoded, speaker)
        self.add_to_profile(speaker, encoded.task, encoded.audio)
        return answer

    def encode(
        self,
        text: str | None,
        audio: AudioSource | None,
        task: TaskName | None = None,
    ) -> EncodedUtterance:
        """Compute everything that does not depend on the speaker's profile."""
        name = self.resolve_task(task, has_text=text is not None, has_audio=audio is not None)
        clock = Clock()
        audio_features = text_features = None
        with clock.running():
            if audio is not None and name != "text":
                audio_features = self.encode_audio(audio, name, clock)
            if text is not None and name != "audio":
                text_features = self.encode_text(text, name, clock)
        return EncodedUtterance(name, audio_features, text_features, clock)

    def answer(self, encoded: EncodedUtterance, speaker: Speaker | None = None) -> Answer:
        """Answer an encoded utterance; the profile is not changed."""
        with encoded.clock.running():
            return self.predict(encoded.task, encoded.audio, encoded.text, encoded.clock, speaker)

    def warm_up(self) -> None:
        """Answer synthetic inputs of usual lengths, so that the first real answer is not slow."""
        for words, seconds in _WARM_UP_INPUTS * 2:
            for task in self.tasks:
                text = None if task == "audio" else "hola " * words
                audio = None if task == "text" else silent_wav(min(seconds, self._max_duration_s))
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
        name = wanted
        if name is None:
            name = "fusion" if has_text and has_audio else "text" if has_text else "audio"
        self.check_task(name)
        if not has_text and name != "audio":
            raise TextError(f"the task {name!r} needs a transcript. {_INPUTS_OF_TASKS}")
        if not has_audio and name != "text":
            raise AudioError(f"the task {name!r} needs sound. {_INPUTS_OF_TASKS}")
        return name

    def check_task(self, name: object) -> TaskName:
        """Return a loaded task. Raises TaskError."""
        for task in self.tasks:
            if isinstance(name, str) and task == name:
                return task
        raise TaskError(
            f"the task {shown(name)} is not loaded (loaded tasks: {', '.join(self.tasks)}). "
            f"{_INPUTS_OF_TASKS}"
        )

    def precisions(self, name: TaskName) -> frozenset[Precision]:
        """Return the precisions of the graphs that answer a task."""
        return frozenset(self.sessions[graph].precision for graph in self.manifest.graphs_of(name))

    def front_end(self) -> FrontEnd:
        """Return the front end. Raises TaskError if no task with sound is loaded."""
        if self._front_end is None:
            raise TaskError(f"no task with sound is loaded. {_INPUTS_OF_TASKS}")
        return self._front_end

    def encode_audio(self, audio: AudioSource, name: TaskName, clock: Clock) -> AudioFeatures:
        """Encode the sound of a whole utterance for the task ``name``. Raises AudioError."""
        front_end = self.front_end()
        with clock("decode"):
            sound = decode(audio, self._max_duration_s)
        with clock("resample"):
            samples = resample(sound, front_end.sample_rate)
        with clock("front_end"):
            features = front_end.whole(samples)
            quality = measure(sound.samples, sound.sample_rate)
        notes = sound.notes + quality.notes(self.bandwidth_hz)
        return self.encode_features(features, name, sound.duration_s, notes, clock)

    def encode_features(
        self,
        features: Features,
        name: TaskName,
        duration_s: float,
        notes: tuple[Note, ...],
        clock: Clock,
    ) -> AudioFeatures:
        """Encode the front end's features of an utterance for the task ``name``."""
        if features.truncated:
            notes += (self._truncated(),)
        graph = self._speech_graph(name)
        if graph is None:
            [vector] = features.parts
        else:
            with clock("speech"):
                vector = self._run_speech(graph, name, features)
        return AudioFeatures(vector, duration_s, notes)

    @property
    def bandwidth_hz(self) -> float | None:
        """The bandwidth of the sound that the model was trained on; None: unknown."""
        return None if self.manifest.audio is None else self.manifest.audio.bandwidth_hz

    def uses_speech_graph(self, name: TaskName) -> bool:
        """True if a speech graph encodes the sound of a task."""
        return self._speech_graph(name) is not None

    def encode_text(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """Encode a transcript for the task ``name``. Raises TextError."""
        task = self.manifest.tasks[name]
        graph, output = (task.graph, "logits") if name == "text" else (task.text_graph, "embedding")
        graph = str(graph)
        with clock("tokenize"):
            tokens = self._tokenizers[graph](text, task.preparation)
        with clock("text"):
            feeds = {"input_ids": tokens.ids, "attention_mask": np.ones_like(tokens.ids)}
            [vector] = self.sessions[graph].run([output], feeds)
        width = len(self.manifest.labels) if name == "text" else self.manifest.graphs[graph].width
        _check_row(vector, width, graph)
        return TextFeatures(vector, tokens.ids.shape[1], tokens.notes)

    def predict(
        self,
        name: TaskName,
        audio_features: AudioFeatures | None,
        text_features: TextFeatures | None,
        clock: Clock,
        speaker: Speaker | None = None,
    ) -> Answer:
        """Combine audio and text features, and return the calibrated answer."""
        task = self.manifest.tasks[name]
        if self.manifest.graphs[task.graph].kind == "fusion":
            assert audio_features is not None  # noqa: S101  (resolve_task requires sound)
            with clock("fusion"):
                logits = self._fuse(task.graph, audio_features, text_features, speaker)
        else:
            features = text_features if name == "text" else audio_features
            assert features is not None  # noqa: S101  (resolve_task requires the input)
            logits = features.vector
        activation = softmax if task.activation == "softmax" else sigmoid
        scores = activation(logits[0] / task.temperature)
        best = int(scores.argmax())
        confidence = float(scores[best])
        return Answer(
            task=name,
            label=self.manifest.labels[best],
            confidence=confidence,
            scores=dict(zip(self.manifest.labels, scores.tolist(), strict=True)),
            tokens=0 if text_features is None else text_features.tokens,
            duration_s=0.0 if audio_features is None else audio_features.duration_s,
            provider=self.sessions[task.graph].providers[0],
            timings=clock.timings(),
            notes=(audio_features.notes if audio_features else ())
            + (text_features.notes if text_features else ())
            + (speech_notes(audio_features.notes) if audio_features and text_features else ()),
            uncertain=confidence < self._min_confidence,
        )

    def speaker(self) -> Speaker:
        """Return an empty profile. Raises TaskError if the bundle does not adapt to speakers."""
        if self._adaptation is None:
            raise TaskError(
                "the loaded tasks of this bundle do not adapt to speakers. Use a bundle whose "
                "manifest has 'adaptation', or leave out the speaker."
            )
        return self._adaptation.speaker()

    @property
    def adapts_to_speakers(self) -> bool:
        """True if the bundle was trained for speaker adaptation."""
        return self._adaptation is not None

    def check_speaker(self, speaker: Speaker | None) -> None:
        """Raise TaskError if a profile does not belong to this bundle."""
        if speaker is None:
            return
        if not isinstance(speaker, Speaker):
            raise TaskError(
                f"speaker is of type {type(speaker).__name__:.40}. Give a profile that "
                "recognizer.speaker() or Speaker.load() returned."
            )
        empty = self.speaker()
        if (speaker.space, speaker.width) != (empty.space, empty.width):
            raise TaskError(
                "the speaker profile was made with another bundle. Make one with "
                "recognizer.speaker()."
            )

    def add_to_profile(
        self, speaker: Speaker | None, name: TaskName, audio_features: AudioFeatures | None
    ) -> None:
        """Add an answered utterance to a profile; silence and answers without sound are not."""
        fusion = self.manifest.graphs[self.manifest.tasks[name].graph].kind == "fusion"
        if speaker is None or audio_features is None or not fusion:
            return
        if not any(note.code in {"silent", "too_short"} for note in audio_features.notes):
            speaker.add(audio_features.vector[0])

    def _speech_graph(self, name: TaskName) -> str | None:
        task = self.manifest.tasks[name]
        if name == "text":
            return None
        return task.graph if self.manifest.graphs[task.graph].kind == "speech" else task.audio_graph

    def _run_speech(self, graph: str, name: TaskName, features: Features) -> Floats:
        """Return logits or an embedding [1, width]: the mean over the windows of long sound."""
        answers = graph == self.manifest.tasks[name].graph
        output = "logits" if answers else "embedding"
        width = len(self.manifest.labels) if answers else self.manifest.graphs[graph].width
        source = "samples" if isinstance(self.manifest.audio, WaveformSettings) else "features"
        rows = []
        for part in features.parts:
            [row] = self.sessions[graph].run([output], {source: part})
            _check_row(row, width, graph)
            rows.append(row)
        return average_windows(np.concatenate(rows), features.lengths)

    def _fuse(
        self,
        name: str,
        audio_features: AudioFeatures,
        text_features: TextFeatures | None,
        speaker: Speaker | None,
    ) -> Floats:
        """Return logits [1, labels] of the fusion graph."""
        graph = self.manifest.graphs[name]
        audio = audio_features.vector
        if self._adaptation is not None:
            audio = self._adaptation(audio, speaker)
        text = np.zeros((1, graph.text_width or 0), np.float32)
        feeds = {"audio": audio, "text": text if text_features is None else text_features.vector}
        if graph.present_input:
            feeds["present"] = np.array([[1, text_features is not None]], np.float32)
        [logits] = self.sessions[name].run(["logits"], feeds)
        _check_row(logits, len(self.manifest.labels), name)
        return logits

    def _truncated(self) -> Note:
        limit = self.manifest.audio.max_s if self.manifest.audio else None
        return Note(
            "audio_truncated",
            f"the sound is longer than the model accepts; only its first {limit or 0:g} s were "
            "used. Give single utterances",
        )


def _load_tokenizers(
    manifest: Manifest, sessions: Mapping[str, Session], read: Callable[[File], bytes]
) -> dict[str, TextTokenizer]:
    """Return the tokenizer of each text graph; graphs with the same one share the object."""
    # The rules of a preparation insert words like "@usuario" that may be special tokens.
    prepared = {
        manifest.graphs[graph].tokenizer
        for task in manifest.tasks.values()
        if task.preparation.replace
        for graph in (task.text_graph or task.graph,)
    }
    by_name: dict[str, TextTokenizer] = {}
    by_graph = {}
    for graph in sessions:
        name = manifest.graphs[graph].tokenizer
        if name is None:
            continue
        if name not in by_name:
            file = manifest.tokenizers[name]
            by_name[name] = TextTokenizer(
                read(file),
                file.file,
                file.max_tokens,
                file.vocab_size,
                keep_special=name in prepared,
            )
        by_graph[graph] = by_name[name]
    return by_graph


def _check_row(row: Floats, width: int | None, graph: str) -> None:
    if row.shape != (1, width) or not np.isfinite(row).all():
        raise BundleError(
            f"graph {graph!r} returned shape {row.shape} instead of {(1, width)}, or values that "
            f"are not finite. Its weights or the provider are damaged: run `emo-bundle verify`, "
            "or use providers='cpu'."
        )
