"""The recognizer: where the branch of the sound and the branch of the transcript meet."""

import contextlib
import os
import platform
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio import MAX_DURATION_S, AudioSource, decode, resample
from emo_runtime.bundle import Bundle, open_bundle
from emo_runtime.cpu import resolve_threads
from emo_runtime.errors import AudioError, ClosedError, EmoError, TaskError, TextError
from emo_runtime.golden import compare, parse_golden
from emo_runtime.graphs import Loading, load_graphs
from emo_runtime.manifest import Manifest, Precision, TaskName
from emo_runtime.mfcc import MeanMfcc
from emo_runtime.result import Answer, Timings, Utterance
from emo_runtime.session import Session, load_onnxruntime, telemetry_is_off
from emo_runtime.text import TextTokenizer, check_text
from emo_runtime.version import __version__

Floats = NDArray[np.float32]


class EmotionRecognizer:
    """Answers which emotion an utterance expresses. Immutable, and safe to share between threads.

    >>> recognizer = EmotionRecognizer.open()
    >>> recognizer.recognize(text="¡Esto es una vergüenza!").label
    'anger'
    """

    def __init__(
        self, bundle: Bundle, tasks: tuple[TaskName, ...], loading: Loading, max_duration_s: float
    ) -> None:
        self._bundle = bundle
        self._tasks = tasks
        self._loading = loading
        self._max_duration_s = max_duration_s
        self._sessions = load_graphs(bundle, tasks, loading)
        self._tokenizers = _load_tokenizers(bundle, self._sessions)
        audio = bundle.manifest.audio if set(tasks) - {"text"} else None
        self._mfcc = None if audio is None else MeanMfcc(audio)
        self._closed = False

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        providers: str = "auto",
        fallback: bool = False,
        threads: int | None = None,
        spin: bool = True,
        variant: Precision | None = None,
        tasks: Iterable[TaskName] | None = None,
        max_duration_s: float = MAX_DURATION_S,
        self_test: bool = False,
    ) -> Self:
        """Open a bundle: the installed default, or the directory ``bundle``.

        ``providers``: "auto", or one of "cpu", "cuda", "tensorrt", "openvino", "coreml",
        "directml"; one that is named and does not attach is an error unless ``fallback``.
        ``threads``: of each session (None: the cores this process may use). ``spin``: whether
        idle threads wait actively (faster; False spares shared hosts). ``variant``: insist on a
        precision of the text-side graphs. ``tasks``: load only what these need.
        ``max_duration_s``: the longest utterance. ``self_test``: compare with the bundle's golden
        answers first.

        Raises BundleError, ProviderError, TaskError, SelfTestError.
        """
        opened = open_bundle(bundle)
        chosen = _choose_tasks(opened.manifest, tasks)
        loading = Loading(providers, resolve_threads(threads), spin, fallback, variant)
        recognizer = cls(opened, chosen, loading, max_duration_s)
        if self_test:
            recognizer.self_test()
        return recognizer

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._bundle.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """The emotions, in the order of the scores."""
        return tuple(self.manifest.labels)

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that are loaded."""
        return self._tasks

    def recognize(
        self,
        text: str | None = None,
        audio: AudioSource | None = None,
        *,
        task: TaskName | None = None,
    ) -> Answer:
        """The emotion of one utterance.

        ``text`` alone runs the task "text", with ``audio`` "fusion"; ``audio`` alone "audio",
        where the bundle knows it; ``task`` insists. ``audio`` is a path, the bytes of a sound
        file, a binary file object, or ``(samples, sample_rate)``.

        Raises TextError, AudioError, TaskError, ProviderError, ClosedError.
        """
        self._check_open()
        name = self._task_of(text, audio, task)
        clock = _Clock()
        heard = None if audio is None or name == "text" else self._hear(audio, clock)
        read = None if text is None or name == "audio" else self._read(text, name, clock)
        return self._answer(name, heard, read, clock)

    def recognize_each(self, utterances: Iterable[Utterance]) -> Iterator[Answer | EmoError]:
        """Answers in the order of the utterances; in place of a failed one, its error.

        Each utterance is a row of its own (an answer never depends on its neighbours), as many
        at once as there are threads; the input is consumed only a little ahead of the output.
        """
        self._check_open()
        workers = self._loading.threads.count
        waiting: deque[Future[Answer | EmoError]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="emo-batch") as pool:
            for utterance in utterances:
                waiting.append(pool.submit(self._recognize_or_error, utterance))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def recognize_batch(self, utterances: Iterable[Utterance]) -> list[Answer]:
        """Answers in the order of the utterances. Raises the first utterance's error there is."""
        answers = []
        for number, answer in enumerate(self.recognize_each(utterances)):
            if isinstance(answer, EmoError):
                raise type(answer)(f"utterance {number}: {answer}") from answer
            answers.append(answer)
        return answers

    def self_test(self) -> float:
        """Compare with the bundle's golden answers; the largest difference of a probability.

        Raises SelfTestError where this machine computes something else than the reference.
        """
        self._check_open()
        golden = parse_golden(self._bundle.read(self.manifest.golden), self.manifest)
        differences = [0.0]
        for case in golden.cases:
            if case.task not in self._tasks:
                continue
            audio = None
            if case.audio is not None:
                audio = (case.audio.samples(), case.audio.sample_rate)
            answer = self.recognize(case.text, audio, task=case.task)
            preparation = self.manifest.tasks[case.task]
            precisions = frozenset(
                self._sessions[graph].precision
                for graph in (preparation.graph, preparation.text_graph)
                if graph is not None
            )
            differences.append(compare(case, list(answer.scores.values()), precisions))
        return max(differences)

    def describe(self) -> dict[str, Any]:
        """What was opened and what really runs, as plain values."""
        threads = self._loading.threads
        return {
            "bundle": {
                "name": self.manifest.name,
                "version": self.manifest.version,
                "path": str(self._bundle.path),
                "manifest_sha256": self._bundle.sha256,
                "licence": self.manifest.licence.weights,
            },
            "tasks": list(self._tasks),
            "graphs": {
                name: {"precision": session.precision, "providers": list(session.providers)}
                for name, session in self._sessions.items()
            },
            "provider_requested": self._loading.provider,
            "threads": {"count": threads.count, "origin": threads.origin},
            "telemetry_off": telemetry_is_off(),
            "versions": {
                "emo_runtime": __version__,
                "onnxruntime": load_onnxruntime().__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }

    def close(self) -> None:
        """Let go of the sessions; every later call raises ClosedError."""
        self._closed = True
        self._sessions = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        graphs = ", ".join(f"{name} {s.precision}" for name, s in self._sessions.items())
        name, version = self.manifest.name, self.manifest.version
        return f"<EmotionRecognizer {name} {version}: {graphs or 'closed'}>"

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this recognizer was closed: open another one.")

    def _task_of(
        self, text: str | None, audio: AudioSource | None, wanted: TaskName | None
    ) -> TaskName:
        if text is None and audio is None:
            raise TaskError("neither text nor audio was given: give one, or both.")
        name = wanted
        if name is None:
            name = "text" if audio is None else "audio" if text is None else "fusion"
        if name not in self._tasks:
            raise TaskError(
                f"the task {name!r} is not there (this recognizer knows: "
                f"{', '.join(self._tasks)}). {_INPUTS_OF_TASKS}"
            )
        if text is None and name != "audio":
            raise TextError(f"the task {name!r} needs a transcript. {_INPUTS_OF_TASKS}")
        if audio is None and name != "text":
            raise AudioError(f"the task {name!r} needs sound. {_INPUTS_OF_TASKS}")
        return name

    def _hear(self, audio: AudioSource, clock: "_Clock") -> "_Heard":
        """The branch of the sound: mean MFCC vector [1, n_mfcc]."""
        if self._mfcc is None:
            raise TaskError(f"this recognizer was opened without sound. {_INPUTS_OF_TASKS}")
        with clock("decode"):
            sound = decode(audio, self._max_duration_s)
        with clock("resample"):
            samples = resample(sound, self._mfcc.contract.sample_rate)
        with clock("mfcc"):
            vector = self._mfcc(samples)[np.newaxis]
        return _Heard(vector, sound.duration_s, sound.notes)

    def _read(self, text: str, name: TaskName, clock: "_Clock") -> "_Read":
        """The branch of the transcript: logits (task text) or embedding, [1, width]."""
        task = self.manifest.tasks[name]
        graph, output = (task.graph, "logits") if name == "text" else (task.text_graph, "embedding")
        with clock("tokenize"):
            check_text(text)
            tokens = self._tokenizers[graph or ""](text.strip() if task.strip else text)
        with clock("text"):
            feeds = {"input_ids": tokens.ids, "attention_mask": np.ones_like(tokens.ids)}
            [vector] = self._sessions[graph or ""].run([output], feeds)
        return _Read(vector, tokens.ids.shape[1], tokens.notes)

    def _fuse(self, name: TaskName, heard: "_Heard", read: "_Read | None") -> Floats:
        """Where the branches meet: logits [1, labels]."""
        graph = self.manifest.graphs[self.manifest.tasks[name].graph]
        feeds = {"audio": heard.vector}
        feeds["text"] = (
            np.zeros((1, graph.hidden or 0), np.float32) if read is None else read.vector
        )
        if graph.present_input:
            feeds["present"] = np.array([[1, read is not None]], np.float32)
        [logits] = self._sessions[self.manifest.tasks[name].graph].run(["logits"], feeds)
        return logits

    def _answer(
        self, name: TaskName, heard: "_Heard | None", read: "_Read | None", clock: "_Clock"
    ) -> Answer:
        if heard is not None:
            with clock("fusion"):
                logits = self._fuse(name, heard, read)
        elif read is not None:
            logits = read.vector
        task = self.manifest.tasks[name]
        scores = _softmax(logits[0] / task.temperature)
        best = int(scores.argmax())
        return Answer(
            task=name,
            label=self.manifest.labels[best],
            confidence=float(scores[best]),
            scores=dict(zip(self.manifest.labels, scores.tolist(), strict=True)),
            tokens=0 if read is None else read.tokens,
            duration_s=0.0 if heard is None else heard.duration_s,
            provider=self._sessions[task.graph].providers[0],
            timings=clock.timings(),
            notes=(heard.notes if heard else ()) + (read.notes if read else ()),
        )

    def _recognize_or_error(self, utterance: Utterance) -> Answer | EmoError:
        try:
            return self.recognize(utterance.text, utterance.audio, task=utterance.task)
        except EmoError as error:
            return error


_INPUTS_OF_TASKS = "Text alone runs 'text', text and audio 'fusion', audio alone 'audio'."


@dataclass(frozen=True, eq=False)
class _Heard:
    vector: Floats
    duration_s: float
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Read:
    vector: Floats
    tokens: int
    notes: tuple[str, ...]


class _Clock:
    """Milliseconds by step, for one answer."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._steps: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._steps[f"{step}_ms"] = (time.perf_counter() - start) * 1e3

    def timings(self) -> Timings:
        return Timings(**self._steps, total_ms=(time.perf_counter() - self._start) * 1e3)


def _choose_tasks(manifest: Manifest, wanted: Iterable[TaskName] | None) -> tuple[TaskName, ...]:
    chosen = tuple(manifest.tasks) if wanted is None else tuple(wanted)
    for name in chosen:
        if name not in manifest.tasks:
            raise TaskError(
                f"the bundle {manifest.name!r} does not know the task {name!r} (it knows: "
                f"{', '.join(manifest.tasks)})."
            )
    return chosen


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


def _softmax(logits: Floats) -> NDArray[np.float64]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    scores: NDArray[np.float64] = exponentials / exponentials.sum()
    return scores
