"""Pipecat: a processor that adds the emotion of the user's speech to transcriptions.

Place it after the speech-to-text service, and after voice activity detection::

    pipeline = Pipeline([
        transport.input(), vad, stt, EmotionProcessor(), context_aggregator.user(), llm, ...
    ])

Needs the extra ``[pipecat]``.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    DataFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from emo_integrations.metadata import METADATA_KEY, answer_metadata
from emo_runtime import Answer, EmoError, EmotionRecognizer, EmotionStream, Speaker


@dataclass
class EmotionFrame(DataFrame):
    """The emotion of an utterance, pushed before its transcription (or later, see ``wait_s``).

    Attributes:
        answer: Label, confidence, probabilities, notes.
        text: The transcript that was read; empty for sound alone.
        user_id: Of the transcription.
    """

    answer: Answer
    text: str
    user_id: str


class EmotionProcessor(FrameProcessor):
    """Recognizes the emotion of each transcription from the sound and the text of its utterance.

    A ``TranscriptionFrame`` gets ``frame.metadata["emotion"]``: a dictionary with ``label``,
    ``confidence``, ``scores``, ``uncertain`` and ``notes``. An ``EmotionFrame`` is pushed
    downstream, and the event handler ``on_emotion`` is called with it. A transcription
    without an answer, such as an empty one, calls ``on_emotion_error`` with the error.

    The utterance starts ``prefix_s`` before ``VADUserStartedSpeakingFrame``. All other frames pass
    unchanged. Recognition runs in the recognizer's threads.

    Args:
        recognizer: Default: one with the default bundle, which this processor closes.
        wait_s: Seconds that a transcription is held until its answer is there. 0: it is never
            held, has no metadata, and its ``EmotionFrame`` comes later.
        prefix_s: Sound before the start that voice activity detection reports, in seconds.
        adapt: Adapt to the speaker, if the bundle was trained for it.
    """

    def __init__(
        self,
        recognizer: EmotionRecognizer | None = None,
        *,
        wait_s: float = 0.5,
        prefix_s: float = 0.5,
        adapt: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._owned = recognizer is None
        self._recognizer = recognizer or EmotionRecognizer.open()
        self._wait_s = wait_s
        self._prefix_s = prefix_s
        self._speaker = _speaker(self._recognizer) if adapt else None
        # The stream that gets sound, and the utterance that transcriptions are about.
        self._listening: EmotionStream | None = None
        self._format: tuple[int, int] | None = None
        self._utterance: EmotionStream | None = None
        self._words: list[str] = []
        self._pending: set[asyncio.Task[Any]] = set()
        self._register_event_handler("on_emotion")
        self._register_event_handler("on_emotion_error")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take sound, starts and ends of speech, and transcriptions; pass every frame on."""
        await super().process_frame(frame, direction)
        if direction == FrameDirection.DOWNSTREAM:
            if isinstance(frame, InputAudioRawFrame):
                self._feed(frame)
            elif isinstance(frame, VADUserStartedSpeakingFrame):
                await self._start()
            elif isinstance(frame, VADUserStoppedSpeakingFrame):
                self._stop()
            elif isinstance(frame, TranscriptionFrame):
                await self._annotate(frame)
            elif isinstance(frame, EndFrame | CancelFrame):
                await self._finish()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Discard what is pending, and close the recognizer if it is this processor's own."""
        await super().cleanup()
        for task in list(self._pending):
            task.cancel()
        if self._owned:
            self._recognizer.close()

    def _feed(self, frame: InputAudioRawFrame) -> None:
        """Give sound to the stream; a few microseconds for a packet of 20 ms."""
        given = (frame.sample_rate, frame.num_channels)
        if self._listening is None or given != self._format:
            self._format = given
            self._listening = self._new_stream()
        try:
            self._listening.feed(frame.audio)
        except EmoError as error:  # longer than the limit
            logger.warning(f"{self}: {error}")

    async def _start(self) -> None:
        await self._learn()
        self._words = []
        if self._listening is not None:
            self._listening.begin()
            self._utterance = self._listening

    def _stop(self) -> None:
        """Following sound belongs to the next utterance; transcriptions to this one."""
        if self._utterance is self._listening and self._format is not None:
            self._listening = self._new_stream()

    def _new_stream(self) -> EmotionStream:
        assert self._format is not None  # noqa: S101
        rate, channels = self._format
        return self._recognizer.stream(
            sample_rate=rate,
            channels=channels,
            speaker=self._speaker,
            prefix_s=self._prefix_s,
            partial_interval_s=0,
        )

    async def _learn(self) -> None:
        """Add the last utterance to the speaker's profile."""
        if self._utterance is not None and self._speaker is not None:
            with contextlib.suppress(EmoError):
                await self._utterance.afinish()
        self._utterance = None

    async def _annotate(self, frame: TranscriptionFrame) -> None:
        """Answer a transcription; wait for the answer as long as asked."""
        self._words.append(frame.text.strip())
        text = " ".join(self._words)
        task = asyncio.create_task(self._recognize(self._utterance, text, frame.user_id))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        if self._wait_s > 0:
            await asyncio.wait([task], timeout=self._wait_s)
        if not task.done():
            task.add_done_callback(self._publish_later)
        elif (found := task.result()) is not None:
            frame.metadata[METADATA_KEY] = answer_metadata(found.answer)
            await self._publish(found)

    async def _recognize(
        self, utterance: EmotionStream | None, text: str, user_id: str
    ) -> EmotionFrame | None:
        try:
            if utterance is None:  # without voice activity detection: the text alone
                answer = await self._recognizer.arecognize(text)
            else:
                utterance.set_text(text)
                answer = await utterance.apartial()
        except EmoError as error:
            logger.warning(f"{self}: {error}")
            await self._call_event_handler("on_emotion_error", error)
            return None
        return EmotionFrame(answer, text, user_id)

    def _publish_later(self, task: "asyncio.Task[EmotionFrame | None]") -> None:
        if not task.cancelled() and (found := task.result()) is not None:
            publishing = asyncio.create_task(self._publish(found))
            self._pending.add(publishing)
            publishing.add_done_callback(self._pending.discard)

    async def _publish(self, found: EmotionFrame) -> None:
        await self.push_frame(found)
        await self._call_event_handler("on_emotion", found)

    async def _finish(self) -> None:
        """Publish what is pending before the pipeline ends."""
        while self._pending:
            await asyncio.wait(self._pending)
            await asyncio.sleep(0)


def _speaker(recognizer: EmotionRecognizer) -> Speaker | None:
    try:
        return recognizer.speaker()
    except EmoError:  # the bundle was not trained for it
        return None
