"""The recognizer: the public face, for whole utterances and batches of them."""

import os
import platform
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np

from emo_runtime.audio import MAX_DURATION_S, AudioSource
from emo_runtime.bundle import Bundle, open_bundle
from emo_runtime.cpu import resolve_threads
from emo_runtime.encodings import Encoding
from emo_runtime.engine import Clock, Engine
from emo_runtime.errors import ClosedError, EmoError, TaskError
from emo_runtime.golden import compare, parse_golden
from emo_runtime.graphs import Loading
from emo_runtime.manifest import Manifest, Precision, TaskName
from emo_runtime.result import Answer, Utterance
from emo_runtime.session import load_onnxruntime, telemetry_is_off
from emo_runtime.stream import EmotionStream
from emo_runtime.version import __version__

MAX_STREAM_S = 60.0


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
        self._engine: Engine | None = Engine(bundle, tasks, loading)

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
        engine = self._opened()
        name = engine.task_of(task, has_text=text is not None, has_audio=audio is not None)
        clock = Clock()
        heard = read = None
        if audio is not None and name != "text":
            heard = engine.hear(audio, self._max_duration_s, clock)
        if text is not None and name != "audio":
            read = engine.read(text, name, clock)
        return engine.answer(name, heard, read, clock)

    def stream(
        self,
        *,
        sample_rate: int,
        encoding: Encoding = "pcm_s16le",
        channels: int = 1,
        task: TaskName | None = None,
        max_duration_s: float = MAX_STREAM_S,
        window_s: float | None = None,
    ) -> EmotionStream:
        """A live utterance of packets at ``sample_rate`` Hz, interleaved if ``channels`` > 1.

        ``task`` insists, else the inputs decide as in ``recognize``. Beyond ``max_duration_s``
        packets are refused; with ``window_s`` the sound of the last so many seconds counts
        instead, without end. Raises AudioError, ClosedError.
        """
        return EmotionStream(
            self._opened(),
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            task=task,
            max_duration_s=max_duration_s,
            window_s=window_s,
        )

    def recognize_each(self, utterances: Iterable[Utterance]) -> Iterator[Answer | EmoError]:
        """Answers in the order of the utterances; in place of a failed one, its error.

        Each utterance is a row of its own (an answer never depends on its neighbours), as many
        at once as there are threads; the input is consumed only a little ahead of the output.
        """
        self._opened()
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
        engine = self._opened()
        golden = parse_golden(self._bundle.read(self.manifest.golden), self.manifest)
        differences = [0.0]
        for case in golden.cases:
            if case.task not in self._tasks:
                continue
            audio = None
            if case.audio is not None:
                audio = (case.audio.samples(), case.audio.sample_rate)
            answer = self.recognize(case.text, audio, task=case.task)
            scores = list(answer.scores.values())
            differences.append(compare(case, scores, engine.precisions(case.task)))
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
                for name, session in self._opened().sessions.items()
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
        self._engine = None

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
        sessions = self._engine.sessions if self._engine else {}
        graphs = ", ".join(f"{name} {session.precision}" for name, session in sessions.items())
        name, version = self.manifest.name, self.manifest.version
        return f"<EmotionRecognizer {name} {version}: {graphs or 'closed'}>"

    def _opened(self) -> Engine:
        if self._engine is None:
            raise ClosedError("this recognizer was closed: open another one.")
        return self._engine

    def _recognize_or_error(self, utterance: Utterance) -> Answer | EmoError:
        try:
            return self.recognize(utterance.text, utterance.audio, task=utterance.task)
        except EmoError as error:
            return error


def _choose_tasks(manifest: Manifest, wanted: Iterable[TaskName] | None) -> tuple[TaskName, ...]:
    chosen = tuple(manifest.tasks) if wanted is None else tuple(wanted)
    for name in chosen:
        if name not in manifest.tasks:
            raise TaskError(
                f"the bundle {manifest.name!r} does not know the task {name!r} (it knows: "
                f"{', '.join(manifest.tasks)})."
            )
    return chosen
