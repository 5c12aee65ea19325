"""The recognizer behind the application, with the application's limits around it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from emo_runtime import (
    Answer,
    EmoError,
    EmotionRecognizer,
    EmotionStream,
    OverloadedError,
    Utterance,
)
from emo_runtime.audio.encodings import Encoding
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.metrics import PrometheusMetrics
from emo_serving.admission import Gate
from emo_serving.errors import TooLargeError, UnavailableError
from emo_serving.settings import Settings

Result = TypeVar("Result")

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Service:
    """What the routes share: recognizer, gate, metrics. One for each application and process."""

    def __init__(
        self,
        settings: Settings,
        opened: Callable[..., EmotionRecognizer] = EmotionRecognizer.open,
        gate: Gate | None = None,
    ) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self._answers: PrometheusMetrics | None = None
        self.recognizer = opened(
            settings.bundle,
            providers=settings.provider,
            fallback=settings.fallback,
            threads=settings.threads,
            variant=settings.variant,
            mode="throughput",
            max_duration_s=settings.max_duration_s,
            max_waiting=settings.max_waiting,
            warm=True,
            on_answer=self._count_answer,
        )
        # From here on: the answers of the self-test and the warm-up are nobody's.
        self._answers = PrometheusMetrics(self.registry)
        self.description = self.recognizer.describe()
        workers = int(self.description["threads"]["count"])
        self.gate = gate or Gate(workers, settings.max_waiting, settings.max_streams)
        # Each live call has at most one job here at a time: the queue is as bounded as they are.
        self._stream_threads = ThreadPoolExecutor(workers, thread_name_prefix="emo-stream")
        self._count_requests()

    async def answer(self, utterance: Utterance) -> Answer:
        """One utterance. Raises EmoError; UnavailableError where it took too long."""
        with self.gate.turn():
            return await self._answer(utterance)

    async def answer_each(self, utterances: Sequence[Utterance]) -> list[Answer | EmoError]:
        """A batch, row by row: it is one call, and takes no more than one call's share.

        In place of a row that fails, its error. Raises OverloadedError, UnavailableError.
        """
        if len(utterances) > self.settings.max_batch:
            raise TooLargeError(
                f"a batch of {len(utterances)} utterances, {self.settings.max_batch} are allowed: "
                "send several."
            )
        found: list[Answer | EmoError] = []
        with self.gate.turn():
            for utterance in utterances:
                try:
                    found.append(await self._answer(utterance))
                except (OverloadedError, UnavailableError):
                    raise
                except EmoError as error:
                    found.append(error)
        return found

    def stream(
        self,
        sample_rate: int,
        encoding: Encoding,
        channels: int,
        task: TaskName | None,
        window_s: float | None,
    ) -> EmotionStream:
        """A live utterance within the server's limits. Raises AudioError, TooLargeError."""
        if window_s is not None and not window_s <= self.settings.max_stream_s:
            raise TooLargeError(f"window_s may be {self.settings.max_stream_s:g} at most.")
        return self.recognizer.stream(
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            task=task,
            max_duration_s=self.settings.max_stream_s,
            window_s=window_s,
        )

    async def in_thread(self, job: Callable[[], Result]) -> Result:
        """Run a live call's work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._stream_threads, job)

    def check_text(self, text: str | None) -> None:
        """Raise TooLargeError for a transcript beyond the limit."""
        limit = self.settings.max_text_characters
        if text is not None and len(text) > limit:
            raise TooLargeError(
                f"a transcript of {len(text):,} characters, {limit:,} are allowed: send one "
                "utterance's."
            )

    def describe(self) -> dict[str, Any]:
        """What is served and what runs it; nothing about the server's file system."""
        description = dict(self.description)
        description["bundle"] = {
            key: value for key, value in description["bundle"].items() if key != "path"
        }
        settings = self.settings
        description["labels"] = list(self.recognizer.labels)
        description["limits"] = {
            "calls": self.gate.max_calls,
            "streams": settings.max_streams,
            "body_bytes": settings.max_body_bytes,
            "text_characters": settings.max_text_characters,
            "duration_s": settings.max_duration_s,
            "stream_s": settings.max_stream_s,
            "batch": settings.max_batch,
        }
        return description

    def close(self) -> None:
        """Let go of the recognizer and the threads."""
        self._stream_threads.shutdown(wait=False, cancel_futures=True)
        self.recognizer.close()

    async def _answer(self, utterance: Utterance) -> Answer:
        self.check_text(utterance.text)
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self._recognize(utterance)
        except TimeoutError:
            raise UnavailableError(
                f"no answer within {self.settings.timeout_s:g} s: try again later."
            ) from None

    async def _recognize(self, utterance: Utterance) -> Answer:
        return await self.recognizer.arecognize(
            utterance.text, utterance.audio, task=utterance.task
        )

    def _count_answer(self, answer: Answer) -> None:
        if self._answers is not None:
            self._answers(answer)

    def _count_requests(self) -> None:
        kept_by: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter(
            "emo_http_requests_total", "Requests answered.", ["route", "status"], **kept_by
        )
        self.seconds = Histogram(
            "emo_http_request_seconds", "Until an answer.", ["route"], buckets=_BUCKETS, **kept_by
        )
        Gauge("emo_calls", "Requests in progress.", **kept_by).set_function(lambda: self.gate.calls)
        Gauge("emo_streams", "Live calls in progress.", **kept_by).set_function(
            lambda: self.gate.streams
        )
        self.stream_ends = Counter(
            "emo_streams_ended_total", "Live calls that ended.", ["reason"], **kept_by
        )
