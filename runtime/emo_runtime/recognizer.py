"""The recognizer: answers whole utterances and batches, and makes streams and timelines."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, get_args

from emo_runtime.audio.decode import MAX_DURATION_S, AudioSource
from emo_runtime.audio.encodings import Encoding
from emo_runtime.bundle.golden import parse_golden
from emo_runtime.bundle.manifest import Manifest, Precision, TaskName
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.cpu import resolve_threads
from emo_runtime.engine import Engine
from emo_runtime.environment import describe_process
from emo_runtime.errors import ClosedError, EmoError, ProviderError, TaskError
from emo_runtime.executor import BoundedExecutor
from emo_runtime.ort.loading import LoadOptions, load_graphs
from emo_runtime.result import Answer, Utterance
from emo_runtime.self_test import fingerprint, remember_passed, run_self_test, was_passed
from emo_runtime.speaker import Speaker
from emo_runtime.stream import EmotionStream
from emo_runtime.text.transcripts import CueSource
from emo_runtime.timeline import Moment, timeline

MAX_STREAM_S = 60.0
PARTIAL_INTERVAL_S = 0.5

Mode = Literal["latency", "throughput"]
logger = logging.getLogger("emo_runtime")


@dataclass(frozen=True)
class _Settings:
    """The arguments of ``open``: a pickled recognizer is opened again with them."""

    bundle: str | None
    public_key: str | None
    providers: str
    fallback: bool
    threads: int | None
    mode: Mode
    spin: bool
    huge_pages: bool
    variant: Precision | None
    tasks: tuple[TaskName, ...] | None
    max_duration_s: float
    max_waiting: int
    min_confidence: float
    on_answer: Callable[[Answer], object] | None


class EmotionRecognizer:
    """Recognizes the emotion that an utterance expresses. Immutable and thread-safe.

    Unpickling opens the bundle again. After a fork the child process must open its own recognizer.

    >>> recognizer = EmotionRecognizer.open()
    >>> recognizer.recognize(text="Es indignante que ustedes mientan a la gente.").label
    'anger'
    """

    def __init__(self, settings: _Settings) -> None:
        if settings.mode not in get_args(Mode):
            raise ProviderError(
                f"mode {settings.mode!r} is unknown. Use 'latency' or 'throughput'."
            )
        self._settings = settings
        self._bundle = open_bundle(settings.bundle, settings.public_key)
        self._threads = resolve_threads(settings.threads)
        throughput = settings.mode == "throughput"
        load_options = LoadOptions(
            provider=settings.providers,
            threads=1 if throughput else self._threads.count,
            spin=settings.spin and not throughput,
            huge_pages=settings.huge_pages,
            fallback=settings.fallback,
            variant=settings.variant,
        )
        tasks = _choose_tasks(self._bundle.manifest, settings.tasks)
        self._process = os.getpid()
        sessions = load_graphs(self._bundle, tasks, load_options)
        self._engine: Engine | None = Engine(
            self._bundle.manifest,
            tasks,
            sessions,
            self._bundle.read,
            settings.min_confidence,
        )
        self._tasks = tasks
        self._workers = BoundedExecutor(self._threads.count, settings.max_waiting)
        logger.info("opened %r", self)

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        public_key: str | os.PathLike[str] | None = None,
        providers: str = "auto",
        fallback: bool = False,
        threads: int | None = None,
        mode: Mode = "latency",
        spin: bool = True,
        huge_pages: bool = True,
        variant: Precision | None = None,
        tasks: Iterable[TaskName] | None = None,
        max_duration_s: float = MAX_DURATION_S,
        max_waiting: int = 64,
        min_confidence: float = 0.0,
        self_test: bool | None = None,
        warm: bool = False,
        on_answer: Callable[[Answer], object] | None = None,
    ) -> Self:
        """Open a bundle and return a recognizer for it.

        Args:
            bundle: Directory of the bundle. None: the installed default bundle.
            public_key: PEM file of the ed25519 key that the bundle must be signed with.
            providers: Execution provider: "auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"
                or "directml". A named provider that does not attach is an error.
            fallback: Use the CPU if the provider does not attach.
            threads: Cores to use. None: the cores that this process may use.
            mode: "latency" uses all threads for one utterance; "throughput" uses one thread for
                each of as many concurrent utterances.
            spin: In "latency" mode idle threads wait actively. False is kinder to shared hosts and
                slower.
            huge_pages: Ask Linux to keep the weights in huge pages. Does not change answers.
            variant: Required precision of the text graphs. None: the best for the provider.
            tasks: Tasks to load. None: all tasks of the bundle.
            max_duration_s: Maximum duration of an utterance.
            max_waiting: Maximum number of queued asynchronous calls.
            min_confidence: Answers with a lower confidence have ``uncertain`` True.
            self_test: Compare with the bundle's golden answers. None: once for this bundle on this
                machine; the result is recorded in the user's cache.
            warm: Call ``warm_up()``.
            on_answer: Called with every answer, in the thread that computed it.

        Raises:
            BundleError: The bundle is missing, damaged or malformed.
            ProviderError: The provider is unknown, not installed, or did not attach.
            TaskError: The bundle does not have one of the ``tasks``.
            SelfTestError: The answers on this machine differ from the reference's.
        """
        recognizer = cls(
            _Settings(
                bundle=None if bundle is None else os.fspath(bundle),
                public_key=None if public_key is None else os.fspath(public_key),
                providers=providers,
                fallback=fallback,
                threads=threads,
                mode=mode,
                spin=spin,
                huge_pages=huge_pages,
                variant=variant,
                tasks=None if tasks is None else tuple(tasks),
                max_duration_s=max_duration_s,
                max_waiting=max_waiting,
                min_confidence=min_confidence,
                on_answer=on_answer,
            )
        )
        if self_test is None:
            recognizer._self_test_once()
        elif self_test:
            recognizer.self_test()
        if warm:
            recognizer.warm_up()
        return recognizer

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self._bundle.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the scores."""
        return tuple(self.manifest.labels)

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Loaded tasks."""
        return self._tasks

    def precisions(self, task: TaskName) -> frozenset[Precision]:
        """Return the precisions of the graphs that answer ``task``."""
        return self._opened().precisions(task)

    def recognize(
        self,
        text: str | None = None,
        audio: AudioSource | None = None,
        *,
        task: TaskName | None = None,
        speaker: Speaker | None = None,
    ) -> Answer:
        """Recognize the emotion of one utterance.

        Args:
            text: Transcript. Alone it runs the task "text", with ``audio`` the task "fusion".
            audio: Path, bytes of a sound file, binary file object, or ``(samples, sample_rate)``.
                Alone it runs the task "audio", if the bundle has it.
            task: Task to run. None: as given by the inputs.
            speaker: Profile of the speaker, see ``speaker()``. The utterance is added to it after
                the answer.

        Raises:
            TextError: The transcript can't be used.
            AudioError: The sound can't be used.
            TaskError: The inputs don't fit the task, or the task is not loaded.
            ProviderError: The execution provider failed.
            ClosedError: The recognizer was closed.
        """
        answer = self._opened().recognize(text, audio, task, self._settings.max_duration_s, speaker)
        self._notify(answer)
        return answer

    async def arecognize(
        self,
        text: str | None = None,
        audio: AudioSource | None = None,
        *,
        task: TaskName | None = None,
        speaker: Speaker | None = None,
    ) -> Answer:
        """Run ``recognize`` in a worker thread and await it.

        Cancelling drops a queued call; a running one finishes and its result is discarded. Raises
        what ``recognize`` raises, and OverloadedError if too many calls are waiting.
        """
        import asyncio  # noqa: PLC0415  (a tenth of the start-up time of a small program)

        self._opened()
        future = self._workers.submit(
            partial(self.recognize, text, audio, task=task, speaker=speaker)
        )
        return await asyncio.wrap_future(future)

    def speaker(self) -> Speaker:
        """Return an empty profile of a speaker, for ``recognize``, ``stream`` and ``Utterance``.

        Raises:
            TaskError: The bundle was not trained for speaker adaptation.
            ClosedError: The recognizer was closed.
        """
        return self._opened().speaker()

    def stream(
        self,
        *,
        sample_rate: int,
        encoding: Encoding = "pcm_s16le",
        channels: int = 1,
        task: TaskName | None = None,
        max_duration_s: float = MAX_STREAM_S,
        window_s: float | None = None,
        partial_interval_s: float = PARTIAL_INTERVAL_S,
        speaker: Speaker | None = None,
    ) -> EmotionStream:
        """Return a stream for an utterance that arrives in packets.

        Args:
            sample_rate: Rate of the packets in Hz.
            encoding: Sample encoding of packets of bytes.
            channels: Number of interleaved channels; their mean is used.
            task: Task to run. None: as given by the inputs, as in ``recognize``.
            max_duration_s: Packets beyond this duration are rejected.
            window_s: Use only the last ``window_s`` seconds of sound, with no limit of duration.
            partial_interval_s: ``partial()`` runs the speech graph again only if so many seconds of
                sound have arrived since its last run.
            speaker: Profile of the speaker; ``finish()`` adds the utterance to it.

        Raises:
            AudioError: An argument is not valid.
            TaskError: No task with sound is loaded.
            ClosedError: The recognizer was closed.
        """
        return EmotionStream(
            self._opened(),
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            task=task,
            max_duration_s=max_duration_s,
            window_s=window_s,
            partial_interval_s=partial_interval_s,
            speaker=speaker,
            on_answer=self._notify,
        )

    def timeline(self, audio: AudioSource, cues: CueSource) -> Iterator[Moment]:
        """Yield an answer for each cue of a recording's transcript, in their order.

        Only the cue's part of the recording is decoded, from the cue's channel if it has one. A cue
        that fails has its error in place of an answer.

        Args:
            audio: The recording.
            cues: The path of a transcript (see ``read_transcript``), or an iterable of cues or of
                dictionaries with ``start_s``, ``end_s`` and ``text``.

        Raises:
            AudioError: The recording can't be opened.
            ClosedError: The recognizer was closed.
        """
        self._opened()
        return timeline(audio, cues, self._tasks, self.recognize)

    def recognize_each(self, utterances: Iterable[Utterance]) -> Iterator[Answer | EmoError]:
        """Yield answers in the order of the utterances, and the error of an utterance that failed.

        As many utterances are computed at a time as there are threads. Each one runs alone: an
        answer does not depend on other utterances. The input is read only a little ahead of the
        output.
        """
        self._opened()
        workers = self._threads.count
        waiting: deque[Future[Answer | EmoError]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="emo-batch") as pool:
            for utterance in utterances:
                waiting.append(pool.submit(self._recognize_or_error, utterance))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def recognize_batch(self, utterances: Iterable[Utterance]) -> list[Answer]:
        """Return answers in the order of the utterances. Raises the first error that occurs."""
        answers = []
        for number, answer in enumerate(self.recognize_each(utterances)):
            if isinstance(answer, EmoError):
                raise type(answer)(f"utterance {number}: {answer}") from answer
            answers.append(answer)
        return answers

    def self_test(self) -> float:
        """Compare with the bundle's golden answers and return the largest difference.

        Raises:
            SelfTestError: The probabilities differ from the reference's by more than the tolerance.
        """
        golden = parse_golden(self._bundle.read(self.manifest.golden), self.manifest)
        engine = self._opened()
        return run_self_test(golden, self._tasks, engine.recognize, engine.precisions)

    def warm_up(self) -> None:
        """Answer synthetic inputs of usual lengths, so that the first real answer is not slow."""
        self._opened().warm_up()

    def describe(self) -> dict[str, Any]:
        """Return what was opened and how it runs, as plain values."""
        return {
            "bundle": {
                "name": self.manifest.name,
                "version": self.manifest.version,
                "path": str(self._bundle.path),
                "manifest_sha256": self._bundle.sha256,
                "licence": self.manifest.licence.weights,
            },
            "tasks": list(self._tasks),
            "graphs": self._opened().describe(),
            "provider_requested": self._settings.providers,
            "mode": self._settings.mode,
            "threads": {"count": self._threads.count, "origin": self._threads.origin},
            **describe_process(),
        }

    def close(self) -> None:
        """Release the sessions. Every later call raises ClosedError."""
        self._engine = None
        self._workers.close()

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

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._settings,)

    def _opened(self) -> Engine:
        if self._engine is None:
            raise ClosedError("this recognizer was closed. Open another one.")
        if self._process != os.getpid():
            raise ClosedError(
                "this recognizer was opened before a fork, and its threads do not exist in the "
                "child process. Open one in the child, or start workers with 'spawn'."
            )
        return self._engine

    def _self_test_once(self) -> None:
        key = fingerprint(self._bundle.sha256, self._opened().describe())
        if not was_passed(key):
            self.self_test()
            remember_passed(key)

    def _notify(self, answer: Answer) -> None:
        if self._settings.on_answer is not None:
            self._settings.on_answer(answer)

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
                f"the bundle {manifest.name!r} has no task {name!r} (its tasks: "
                f"{', '.join(manifest.tasks)})."
            )
    return chosen
