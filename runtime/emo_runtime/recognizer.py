"""The recognizer: the public face, for whole utterances and batches of them."""

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
from emo_runtime.engine import Clock, Engine
from emo_runtime.environment import describe_process
from emo_runtime.errors import ClosedError, EmoError, ProviderError, TaskError
from emo_runtime.executor import BoundedExecutor
from emo_runtime.ort.loading import LoadOptions
from emo_runtime.result import Answer, Utterance
from emo_runtime.self_test import fingerprint, remember_passed, run_self_test, was_passed
from emo_runtime.stream import EmotionStream
from emo_runtime.text.transcripts import Cue
from emo_runtime.timeline import Moment, timeline

MAX_STREAM_S = 60.0

Mode = Literal["latency", "throughput"]
logger = logging.getLogger("emo_runtime")


@dataclass(frozen=True)
class _Settings:
    """The arguments of ``open``, kept so that a pickled recognizer can be opened again."""

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
    on_answer: Callable[[Answer], object] | None


class EmotionRecognizer:
    """Answers which emotion an utterance expresses. Immutable, and safe to share between threads.

    Pickled, it is opened again where it is unpickled; after a fork the child must open its own.

    >>> recognizer = EmotionRecognizer.open()
    >>> recognizer.recognize(text="Es indignante que ustedes mientan a la gente.").label
    'anger'
    """

    def __init__(self, settings: _Settings) -> None:
        if settings.mode not in get_args(Mode):
            raise ProviderError(f"mode {settings.mode!r}: give 'latency' or 'throughput'.")
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
        self._engine: Engine | None = Engine(self._bundle, tasks, load_options)
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
        self_test: bool | None = None,
        warm: bool = False,
        on_answer: Callable[[Answer], object] | None = None,
    ) -> Self:
        """Open a bundle: the installed default, or the directory ``bundle``.

        ``public_key``: the PEM file of the ed25519 key that must have signed it. ``providers``:
        "auto", or one of "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml"; one that is
        named and does not attach is an error unless ``fallback``. ``threads``: how many cores to
        use (None: those this process may use). ``mode``: "latency" puts all of them on one
        utterance, "throughput" one on each of as many utterances. ``spin``: whether idle threads
        of "latency" wait actively (faster; False spares shared hosts). ``huge_pages``: ask Linux
        to keep the weights in them (the same answers, sooner). ``variant``: insist on a
        precision of the text-side graphs. ``tasks``: load only what these need.
        ``max_duration_s``: the longest utterance. ``max_waiting``: how many ``arecognize`` calls
        may wait. ``self_test``: compare with the bundle's golden answers (None: once for this
        bundle on this machine, then it is remembered in the user's cache). ``warm``: see
        ``warm_up``. ``on_answer`` is called with every answer, in the thread that made it.

        Raises BundleError, ProviderError, TaskError, SelfTestError.
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
        """The emotions, in the order of the scores."""
        return tuple(self.manifest.labels)

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that are loaded."""
        return self._tasks

    def precisions(self, task: TaskName) -> frozenset[Precision]:
        """The precisions of the graphs that answer ``task``."""
        return self._opened().precisions(task)

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
        name = engine.resolve_task(task, has_text=text is not None, has_audio=audio is not None)
        clock = Clock()
        audio_features = text_features = None
        if audio is not None and name != "text":
            audio_features = engine.encode_audio(audio, self._settings.max_duration_s, clock)
        if text is not None and name != "audio":
            text_features = engine.encode_text(text, name, clock)
        answer = engine.predict(name, audio_features, text_features, clock)
        self._notify(answer)
        return answer

    async def arecognize(
        self,
        text: str | None = None,
        audio: AudioSource | None = None,
        *,
        task: TaskName | None = None,
    ) -> Answer:
        """``recognize`` in a worker thread, for asyncio. Raises OverloadedError too.

        A cancelled call that has not begun is dropped; one that has ends unheard.
        """
        import asyncio  # noqa: PLC0415  (a tenth of a small program's start)

        self._opened()
        future = self._workers.submit(partial(self.recognize, text, audio, task=task))
        return await asyncio.wrap_future(future)

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
            on_answer=self._notify,
        )

    def timeline(self, audio: AudioSource, cues: Iterable[Cue]) -> Iterator[Moment]:
        """The course of a recording: a moment for each cue of its transcript, in their order.

        Only a cue's own slice of the recording is decoded, from its channel where it names one. A
        cue that fails has its error in place of an answer. Raises AudioError, ClosedError.
        """
        self._opened()
        return timeline(self, audio, cues)

    def recognize_each(self, utterances: Iterable[Utterance]) -> Iterator[Answer | EmoError]:
        """Answers in the order of the utterances; in place of a failed one, its error.

        Each utterance is a row of its own (an answer never depends on its neighbours), as many
        at once as there are threads; the input is consumed only a little ahead of the output.
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
        golden = parse_golden(self._bundle.read(self.manifest.golden), self.manifest)
        return run_self_test(self, golden)

    def warm_up(self) -> None:
        """Answer invented inputs of usual lengths, so that the first real answer is a quick one."""
        self._opened().warm_up()

    def describe(self) -> dict[str, Any]:
        """What was opened and what really runs, as plain values."""
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
        """Let go of the sessions; every later call raises ClosedError."""
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
            raise ClosedError("this recognizer was closed: open another one.")
        if self._process != os.getpid():
            raise ClosedError(
                "this recognizer was opened before a fork, its threads are not in the child: open "
                "one in the child (or start workers with 'spawn')."
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
                f"the bundle {manifest.name!r} does not know the task {name!r} (it knows: "
                f"{', '.join(manifest.tasks)})."
            )
    return chosen
