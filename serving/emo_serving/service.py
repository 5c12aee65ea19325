"""The recognizer behind the application, with the application's limits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from emo_runtime import (
    Answer,
    EmoError,
    EmotionRecognizer,
    EmotionStream,
    OverloadedError,
    Speaker,
    Utterance,
)
from emo_runtime.audio.encodings import Encoding
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.metrics import PrometheusMetrics
from emo_serving.admission import Admission
from emo_serving.calls import CallRegistry, Peers
from emo_serving.counts import Counts
from emo_serving.errors import TooLargeError, UnavailableError
from emo_serving.metrics import ServerMetrics
from emo_serving.models import Model, Models
from emo_serving.settings import BundleSource, Settings
from emo_serving.webhooks.events import Webhooks

Result = TypeVar("Result")


@dataclass(frozen=True)
class Worker:
    """What one of several worker processes shares with the others.

    Args:
        counts: Counts in shared memory.
        folder: Folder of the metrics' files.
        peers: Access to the live calls of the other workers.
    """

    counts: Counts
    folder: Path
    peers: Peers


def open_recognizer(
    settings: Settings,
    source: BundleSource,
    on_answer: Callable[[Answer], object] | None = None,
    opened: Callable[..., EmotionRecognizer] = EmotionRecognizer.open,
    *,
    self_test: bool | None = None,
) -> EmotionRecognizer:
    """Open a recognizer of a server. Raises EmoError.

    With ``self_test`` every file is verified and the golden answers are compared; None: once for a
    bundle on this machine.
    """
    return opened(
        source.where,
        providers=settings.provider,
        fallback=settings.fallback,
        threads=settings.threads,
        variant=settings.variant,
        mode="throughput",
        max_duration_s=settings.max_duration_s,
        max_waiting=settings.max_waiting,
        self_test=self_test,
        warm=True,
        on_answer=on_answer,
    )


class Service:
    """State that the routes share: bundles, admission control, metrics. One for each process."""

    def __init__(
        self,
        settings: Settings,
        opened: Callable[..., EmotionRecognizer] = EmotionRecognizer.open,
        admission: Admission | None = None,
        worker: Worker | None = None,
    ) -> None:
        self.settings = settings
        registry = CollectorRegistry()
        self.webhooks = Webhooks(settings, registry)
        self._answers = PrometheusMetrics(registry, ["bundle"])

        def open_bundle(
            source: BundleSource,
            on_answer: Callable[[Answer], object],
            self_test: bool | None,
        ) -> EmotionRecognizer:
            return open_recognizer(settings, source, on_answer, opened, self_test=self_test)

        self.models = Models(settings, open_bundle, self._answers.labelled, registry)
        workers = int(self.models.get().description["threads"]["count"])
        self.admission = admission or Admission(
            workers,
            settings.max_waiting,
            settings.max_streams,
            settings.max_buffered_bytes,
            counts=worker.counts if worker else None,
        )
        folder = str(worker.folder) if worker else None
        self.metrics = ServerMetrics(registry, self.admission, folder)
        self.calls = CallRegistry(worker.peers if worker else None)
        # Each live call has at most one job here at a time: the limit of calls limits the queue.
        self._stream_threads = ThreadPoolExecutor(workers, thread_name_prefix="emo-stream")

    @property
    def recognizer(self) -> EmotionRecognizer:
        """The recognizer of the default bundle."""
        return self.models.get().recognizer

    @property
    def status(self) -> str:
        """``ready``, ``overloaded`` or ``stopping``."""
        if self.admission.stopping:
            return "stopping"
        return "overloaded" if self.admission.overloaded else "ready"

    async def answer(self, utterance: Utterance, model: Model | None = None) -> Answer:
        """Answer one utterance, with the default bundle unless another one is given.

        Raises EmoError; UnavailableError if it took too long.
        """
        self.check_text(utterance.text)
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await self._recognize(utterance, model or self.models.get())
        except TimeoutError:
            raise UnavailableError(
                f"no answer within {self.settings.timeout_s:g} s: try again later."
            ) from None

    async def answer_each(
        self, rows: Sequence[Utterance | EmoError], model: Model | None = None
    ) -> list[Answer | EmoError]:
        """Answer a batch row by row, so that it uses no more than one thread.

        Returns:
            The answer of each row, or its error; a row that is an error already stays one.

        Raises:
            TooLargeError: The batch is too long.
            OverloadedError, UnavailableError: The batch as a whole could not be answered.
        """
        if len(rows) > self.settings.max_batch:
            raise TooLargeError(
                f"a batch of {len(rows)} utterances; the limit is {self.settings.max_batch}: send "
                "several requests."
            )
        found: list[Answer | EmoError] = []
        for row in rows:
            if isinstance(row, EmoError):
                found.append(row)
                continue
            try:
                found.append(await self.answer(row, model))
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
        *,
        task: TaskName | None,
        window_s: float | None,
        speaker: Speaker | None,
        model: Model | None = None,
    ) -> EmotionStream:
        """Open the stream of a live call's utterance. Raises AudioError, TooLargeError.

        Without ``window_s``, the window is the longest utterance: until then nothing is left out.
        """
        longest = self.settings.max_stream_s
        if window_s is not None and not window_s <= longest:
            raise TooLargeError(f"window_s={window_s:g}: the limit is {longest:g}.")
        return (model or self.models.get()).recognizer.stream(
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            task=task,
            max_duration_s=longest,
            window_s=window_s or longest,
            speaker=speaker,
        )

    async def in_thread(self, job: Callable[[], Result]) -> Result:
        """Run a live call's work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._stream_threads, job)

    def check_text(self, text: str | None) -> None:
        """Raise TooLargeError for a transcript beyond the limit."""
        limit = self.settings.max_text_characters
        if text is not None and len(text) > limit:
            raise TooLargeError(
                f"a transcript of {len(text):,} characters; the limit is {limit:,}: send one "
                "utterance only."
            )

    def describe(self, model: Model | None = None) -> dict[str, Any]:
        """Describe a bundle, what runs it, the others, and the limits; without paths."""
        model = model or self.models.get()
        description = dict(model.description)
        description["bundle"] = {
            key: value for key, value in description["bundle"].items() if key != "path"
        }
        settings = self.settings
        description["name"] = model.name
        description["bundles"] = [each.name for each in self.models.loaded()]
        description["labels"] = list(model.recognizer.labels)
        description["limits"] = {
            "calls": self.admission.max_calls,
            "streams": settings.max_streams,
            "body_bytes": settings.max_body_bytes,
            "json_bytes": settings.max_json_bytes,
            "text_characters": settings.max_text_characters,
            "duration_s": settings.max_duration_s,
            "stream_s": settings.max_stream_s,
            "batch": settings.max_batch,
        }
        return description

    def close(self) -> None:
        """Close the bundles and stop the threads."""
        self._stream_threads.shutdown(wait=False, cancel_futures=True)
        self.models.close()

    async def _recognize(self, utterance: Utterance, model: Model) -> Answer:
        return await model.recognizer.arecognize(
            utterance.text, utterance.audio, task=utterance.task
        )

    def count_answer(self, answer: Answer, model: Model) -> None:
        """Count an answer that another process has given."""
        self._answers.labelled(model.name)(answer)
