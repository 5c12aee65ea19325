"""The recognizer: utterances and batches to answers; factory of streams and timelines."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

from emo_runtime.arguments import check_flag
from emo_runtime.audio.decode import MAX_DURATION_S, AudioSource
from emo_runtime.batch import answer_each, check_utterances
from emo_runtime.bundle.golden import parse_golden
from emo_runtime.bundle.manifest import Manifest, Precision, TaskName
from emo_runtime.bundle.reader import open_bundle
from emo_runtime.cpu import resolve_threads
from emo_runtime.engine import Engine
from emo_runtime.environment import describe_process
from emo_runtime.errors import ClosedError, EmoError, TaskError
from emo_runtime.executor import BoundedExecutor
from emo_runtime.hooks import Hooks
from emo_runtime.options import Mode, OpenOptions
from emo_runtime.ort.loading import LoadOptions, load_graphs
from emo_runtime.ort.providers import CPU
from emo_runtime.result import Answer, Utterance
from emo_runtime.self_test import fingerprint, remember_passed, run_self_test, was_passed
from emo_runtime.speaker import Speaker
from emo_runtime.stream import EmotionStream
from emo_runtime.text.transcripts import CueSource
from emo_runtime.timeline import Moment, timeline

MAX_STREAM_S = 60.0
PARTIAL_INTERVAL_S = 0.5

Result = TypeVar("Result")
logger = logging.getLogger("emo_runtime")


class EmotionRecognizer:
    """Recognizes the emotion that an utterance expresses. Immutable and thread-safe.

    Unpickling opens the bundle again. After a fork the child process must open its own recognizer,
    or call ``after_fork()``.

    Examples:
        >>> recognizer = EmotionRecognizer.open()
        >>> recognizer.recognize(text="Es indignante que ustedes mientan a la gente.").label
        'anger'
    """

    def __init__(self, options: OpenOptions) -> None:
        self._options = options
        self._bundle = open_bundle(options.bundle, options.public_key)
        self._threads = resolve_threads(options.threads)
        throughput = options.mode == "throughput"
        load_options = LoadOptions(
            provider=options.providers,
            threads=1 if throughput else self._threads.count,
            spin=options.spin and not throughput,
            huge_pages=options.huge_pages,
            fallback=options.fallback,
            variant=options.variant,
        )
        tasks = _choose_tasks(self._bundle.manifest, options.tasks)
        self._process = os.getpid()
        self._engine: Engine | None = Engine(
            self._bundle.manifest,
            tasks,
            load_graphs(self._bundle, tasks, load_options),
            self._bundle.read,
            min_confidence=options.min_confidence,
            max_duration_s=options.max_duration_s,
        )
        self._tasks = tasks
        self._workers = BoundedExecutor(self._threads.count, options.max_waiting)
        self._hooks = Hooks(options.on_answer, options.on_error)
        logger.info("opened %r", self)

    @classmethod
    def open(
        cls,
        bundle: str | os.PathLike[str] | None = None,
        *,
        public_key: str | os.PathLike[str] | None = None,
        providers: str | Sequence[str] = "auto",
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
        on_error: Callable[[EmoError], object] | None = None,
    ) -> Self:
        """Open a bundle and return a recognizer for it.

        Args:
            bundle: Directory of the bundle, or the name of an installed one. None: the installed
                default bundle.
            public_key: PEM file of the ed25519 key that the bundle must be signed with.
            providers: Execution provider: "auto", "cpu", "cuda", "tensorrt", "openvino", "coreml"
                or "directml". A named provider that does not attach is an error. Of a list, the
                first that attaches is used.
            fallback: Use the CPU if the provider does not attach.
            threads: Cores to use. None: the cores that this process may use.
            mode: "latency" uses all threads for one utterance; "throughput" uses one thread for
                each of as many concurrent utterances.
            spin: In "latency" mode idle threads spin. False uses less CPU on shared hosts and
                is slower.
            huge_pages: Ask Linux to keep the weights in huge pages. Does not change answers.
            variant: Required precision of all graphs except fusion graphs. None: the best for the
                provider.
            tasks: Tasks to load. None: all tasks of the bundle.
            max_duration_s: Maximum duration of an utterance.
            max_waiting: Maximum number of queued asynchronous calls.
            min_confidence: Answers with a lower confidence have ``uncertain`` True.
            self_test: Compare with the bundle's golden answers. None: once for this bundle on this
                machine; the result is recorded in the user's cache.
            warm: Call ``warm_up()``.
            on_answer: Called with every answer, in the thread that computed it. An exception in it
                is logged.
            on_error: Called in the same way with every error of an utterance.

        Raises:
            ArgumentError: An argument has a wrong type or value.
            BundleError: The bundle is missing, damaged or malformed.
            ProviderError: The provider is unknown, not installed, or did not attach.
            TaskError: The bundle does not have one of the ``tasks``.
            SelfTestError: The answers on this machine differ from the reference's.
        """
        options = OpenOptions.checked(
            bundle=bundle,
            public_key=public_key,
            providers=providers,
            fallback=fallback,
            threads=threads,
            mode=mode,
            spin=spin,
            huge_pages=huge_pages,
            variant=variant,
            tasks=tasks,
            max_duration_s=max_duration_s,
            max_waiting=max_waiting,
            min_confidence=min_confidence,
            on_answer=on_answer,
            on_error=on_error,
        )
        self_test = None if self_test is None else check_flag("self_test", self_test)
        warm = check_flag("warm", warm)
        recognizer = cls(options)
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
        """Return the precisions of the graphs that answer ``task``. Raises TaskError."""
        engine = self._opened()
        return engine.precisions(engine.check_task(task))

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
        engine = self._opened()
        with self._hooks.errors():
            answer = engine.recognize(text, audio, task, speaker)
        self._hooks.answer(answer)
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
        call = partial(self.recognize, text, audio, task=task, speaker=speaker)
        return await asyncio.wrap_future(self._submit(call))

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
        encoding: str = "pcm_s16le",
        channels: int = 1,
        channel: int | None = None,
        task: TaskName | None = None,
        max_duration_s: float = MAX_STREAM_S,
        window_s: float | None = None,
        partial_interval_s: float = PARTIAL_INTERVAL_S,
        speaker: Speaker | None = None,
        prefix_s: float | None = None,
    ) -> EmotionStream:
        """Return a stream for an utterance that arrives in packets.

        Args:
            sample_rate: Rate of the packets in Hz.
            encoding: Sample encoding of packets of bytes: "pcm_s16le", "pcm_s16be", "pcm_s24le",
                "pcm_f32le", "mulaw", "alaw", or an alias as platforms write it ("PCMU", "L16").
            channels: Number of interleaved channels; their mean is used.
            channel: Channel to use instead of the mean, counted from 0.
            task: Task to run. None: as given by the inputs, as in ``recognize``.
            max_duration_s: Packets beyond this duration are rejected.
            window_s: Use only the last ``window_s`` seconds of sound, with no limit of duration.
            partial_interval_s: Seconds of new sound after which ``partial()`` runs the speech graph
                again.
            speaker: Profile of the speaker; ``finish()`` adds the utterance to it.
            prefix_s: Wait for ``begin()``, and let the utterance start this many seconds before
                it. For voice activity detection, which notices speech late.

        Raises:
            AudioError: The sample rate, the encoding or the number of channels is not supported.
            ArgumentError: Another argument has a wrong type or value.
            TaskError: No task with sound is loaded.
            ClosedError: The recognizer was closed.
        """
        return EmotionStream(
            self._opened(),
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            channel=channel,
            task=task,
            max_duration_s=max_duration_s,
            window_s=window_s,
            partial_interval_s=partial_interval_s,
            speaker=speaker,
            prefix_s=prefix_s,
            hooks=self._hooks,
            submit=self._submit,
        )

    def timeline(self, audio: AudioSource, cues: CueSource) -> Iterator[Moment]:
        """Yield an answer for each cue of a recording's transcript, in their order.

        Only the cue's part of the recording is decoded, from the cue's channel if it has one. A cue
        that fails has an error instead of an answer. A bundle that adapts to speakers uses all cues
        of a channel and speaker as that speaker's profile.

        Args:
            audio: The recording.
            cues: The path of a transcript (see ``read_transcript``), or an iterable of cues or of
                dictionaries with ``start_s``, ``end_s`` and ``text``.

        Raises:
            AudioError: The recording can't be opened.
            ClosedError: The recognizer was closed.
        """
        return timeline(audio, cues, self._opened(), self._hooks)

    def recognize_each(self, utterances: Iterable[Utterance]) -> Iterator[Answer | EmoError]:
        """Yield answers in the order of the utterances, and the error of an utterance that failed.

        As many utterances are computed at a time as there are threads. Each one runs alone: an
        answer does not depend on other utterances, except through ``Utterance.speaker``. The input
        is read only a little ahead of the output.

        Raises:
            ArgumentError: ``utterances`` is not an iterable.
            ClosedError: The recognizer was closed.
        """
        engine = self._opened()
        return answer_each(engine, check_utterances(utterances), self._threads.count, self._hooks)

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
        # The golden sound may be longer than the limit that the caller wants for utterances.
        recognize = engine.with_default_limit().recognize
        return run_self_test(golden, self._tasks, recognize, engine.precisions)

    def warm_up(self) -> None:
        """Answer synthetic inputs of typical lengths, so that the first real answer is not slow."""
        self._opened().warm_up()

    def describe(self) -> dict[str, Any]:
        """Return the bundle, its graphs and their execution settings as plain values."""
        providers = self._options.providers
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
            "provider_requested": providers if isinstance(providers, str) else list(providers),
            "mode": self._options.mode,
            "threads": {"count": self._threads.count, "origin": self._threads.origin},
            **describe_process(),
        }

    def after_fork(
        self,
        *,
        on_answer: Callable[[Answer], object] | None = None,
        on_error: Callable[[EmoError], object] | None = None,
    ) -> None:
        """Use this recognizer in a forked child process, which shares the memory of the weights.

        Possible with ``mode="throughput"`` on the CPU, where ONNX Runtime has no threads and no
        device. The process must not have used other threads when it forked.

        Args:
            on_answer: Replaces the callback that ``open()`` was given.
            on_error: Replaces the callback that ``open()`` was given.

        Raises:
            ClosedError: It was closed, or a graph has threads or runs on another device.
        """
        self.check_forkable()
        self._process = os.getpid()
        self._workers = BoundedExecutor(self._threads.count, self._options.max_waiting)
        self._hooks = Hooks(on_answer, on_error)

    def check_forkable(self) -> None:
        """Raise ClosedError if a forked child process could not use this recognizer."""
        sessions = self._engine.sessions.values() if self._engine else ()
        shared = all(each.threads == 1 and set(each.providers) == {CPU} for each in sessions)
        if not sessions or not shared:
            raise ClosedError(
                "a forked process can use this recognizer only if it is open, in mode 'throughput' "
                "and on the CPU. Open another one in the forked process."
            )

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
        return type(self), (self._options,)

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

    def _submit(self, call: Callable[[], Result]) -> Future[Result]:
        with self._hooks.errors():
            return self._workers.submit(call)


def _choose_tasks(manifest: Manifest, wanted: Iterable[TaskName] | None) -> tuple[TaskName, ...]:
    chosen = tuple(manifest.tasks) if wanted is None else tuple(wanted)
    for name in chosen:
        if name not in manifest.tasks:
            # A name that is no task may be a transcript in the wrong place: it is not quoted.
            task = f"task {name!r}" if name in get_args(TaskName) else "such task"
            raise TaskError(
                f"the bundle {manifest.name!r:.60} has no {task} (its tasks: "
                f"{', '.join(manifest.tasks)})."
            )
    return chosen
