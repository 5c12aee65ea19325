"""LiveKit Agents: a wrapper around any speech-to-text that adds the emotion to its transcripts.

Needs the extra ``[livekit]``::

    session = AgentSession(stt=EmotionSTT(deepgram.STT(language="es")), ...)
"""

import asyncio
import logging
from collections.abc import AsyncIterable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import utils
from livekit.agents.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)
from numpy.typing import NDArray

from emo_integrations.metadata import METADATA_KEY, answer_metadata
from emo_runtime import EmoError, EmotionRecognizer

# The wrapped stream repeats failed connections itself.
_NO_RETRY = APIConnectOptions(max_retry=0, timeout=DEFAULT_API_CONNECT_OPTIONS.timeout)
_PREFIX_S = 0.3

logger = logging.getLogger("emo_integrations.livekit")


class EmotionSTT(STT):
    """Speech-to-text with the emotion of each final transcript.

    ``alternatives[0].metadata["emotion"]`` of a final transcript is a dictionary with ``label``,
    ``confidence``, ``scores``, ``uncertain`` and ``notes``. It is recognized from the transcript
    and the sound of the utterance: between the transcript's times if the service reports them,
    else since the start of speech or the last final transcript. Everything else is passed on
    unchanged. A transcript without an answer, such as an empty one, has no metadata.

    Args:
        stt: Any speech-to-text. One that can't stream is wrapped in ``stt.StreamAdapter`` first.
        recognizer: Default: one with the default bundle, which ``aclose`` closes.
        tag: Format of the text of final transcripts, such as ``"[{label}] {text}"``, for a
            language model. Uncertain answers give no tag. Default: the text is unchanged.
        window_s: Seconds of sound that are kept for an utterance.
    """

    def __init__(
        self,
        stt: STT,
        recognizer: EmotionRecognizer | None = None,
        *,
        tag: str | None = None,
        window_s: float = 30.0,
    ) -> None:
        super().__init__(capabilities=stt.capabilities)
        if tag is not None:
            tag.format(label="", text="", confidence=0.0)  # a wrong format fails here
        self._wrapped = stt
        self._owned = recognizer is None
        self._recognizer = recognizer or EmotionRecognizer.open()
        self._tag = tag
        self._window_s = window_s
        stt.on("metrics_collected", self._forward_metrics)
        stt.on("error", self._forward_error)

    @property
    def wrapped_stt(self) -> STT:
        """The wrapped speech-to-text."""
        return self._wrapped

    @property
    def model(self) -> str:
        """Model of the wrapped speech-to-text."""
        return str(self._wrapped.model)

    @property
    def provider(self) -> str:
        """Provider of the wrapped speech-to-text."""
        return str(self._wrapped.provider)

    def prewarm(self) -> None:
        """Prepare the wrapped speech-to-text and the recognizer."""
        self._wrapped.prewarm()
        self._recognizer.warm_up()

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> RecognizeStream:
        """Return a stream of the wrapped speech-to-text with emotions."""
        inner = self._wrapped.stream(language=language, conn_options=conn_options)
        return _EmotionStream(self, inner)

    async def aclose(self) -> None:
        """Close the wrapped speech-to-text, and the recognizer if it is this object's own."""
        self._wrapped.off("metrics_collected", self._forward_metrics)
        self._wrapped.off("error", self._forward_error)
        await self._wrapped.aclose()
        if self._owned:
            self._recognizer.close()

    async def annotate(self, event: SpeechEvent, samples: NDArray[np.int16], rate: int) -> None:
        """Add the emotion of sound and transcript to the first alternative of an event."""
        if not event.alternatives or not event.alternatives[0].text.strip():
            return
        found = event.alternatives[0]
        sound = (samples, rate) if len(samples) else None
        try:
            answer = await self._recognizer.arecognize(found.text, sound)
        except EmoError as error:
            logger.warning("no emotion: %s", error)
            return
        found.metadata = {**(found.metadata or {}), METADATA_KEY: answer_metadata(answer)}
        if self._tag is not None and not answer.uncertain:
            found.text = self._tag.format(
                label=answer.label, confidence=answer.confidence, text=found.text
            )

    async def _recognize_impl(
        self,
        buffer: utils.AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> SpeechEvent:
        event = await self._wrapped.recognize(buffer, language=language, conn_options=conn_options)
        frame = utils.merge_frames(buffer)
        await self.annotate(event, _mono(frame), frame.sample_rate)
        return event

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self._wrapped._update_session_keyterms(keyterms)

    def _push_conversation_item(self, item: Any) -> None:
        self._wrapped._push_conversation_item(item)

    def _forward_metrics(self, *arguments: Any) -> None:
        self.emit("metrics_collected", *arguments)

    def _forward_error(self, *arguments: Any) -> None:
        self.emit("error", *arguments)


class _EmotionStream(RecognizeStream):
    """Passes sound to the wrapped stream, keeps a window of it, and annotates its events."""

    def __init__(self, stt: EmotionSTT, inner: RecognizeStream) -> None:
        super().__init__(stt=stt, conn_options=_NO_RETRY)
        self._emotion = stt
        self._inner = inner
        self._sound = _Window(stt._window_s)
        self._start_s = 0.0

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[SpeechEvent]) -> None:
        """Metrics are those of the wrapped stream."""
        async for _ in event_aiter:
            pass

    async def _run(self) -> None:
        async def pass_sound() -> None:
            async for item in self._input_ch:
                if isinstance(item, self._FlushSentinel):
                    self._inner.flush()
                    continue
                self._inner.start_time_offset = self.start_time_offset
                self._sound.add(item)
                self._inner.push_frame(item)
            self._inner.end_input()

        async def pass_events() -> None:
            async for event in self._inner:
                await self._annotate(event)
                self._event_ch.send_nowait(event)

        tasks = [asyncio.create_task(pass_sound()), asyncio.create_task(pass_events())]
        try:
            await asyncio.gather(*tasks)
        finally:
            await utils.aio.cancel_and_wait(*tasks)
            await self._inner.aclose()

    async def _annotate(self, event: SpeechEvent) -> None:
        if event.type == SpeechEventType.START_OF_SPEECH:
            self._start_s = max(self._start_s, self._sound.end_s - _PREFIX_S)
        if event.type == SpeechEventType.FINAL_TRANSCRIPT and event.alternatives:
            found = event.alternatives[0]
            start_s, end_s = self._start_s, self._sound.end_s
            if found.end_time > found.start_time:
                start_s = found.start_time - self.start_time_offset
                end_s = found.end_time - self.start_time_offset
            self._start_s = end_s
            samples = self._sound.between(start_s, end_s)
            await self._emotion.annotate(event, samples, self._sound.rate)


class _Window:
    """The last seconds of the sound of a stream, as mono samples."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._parts: list[NDArray[np.int16]] = []
        self._first = 0  # number of the first sample that is kept
        self._kept = 0
        self.rate = 0

    @property
    def end_s(self) -> float:
        """Seconds since the start of the stream."""
        return (self._first + self._kept) / self.rate if self.rate else 0.0

    def add(self, frame: rtc.AudioFrame) -> None:
        """Append a frame and forget what is older than the window."""
        self.rate = frame.sample_rate
        samples = _mono(frame)
        self._parts.append(samples)
        self._kept += len(samples)
        limit = int(self._window_s * self.rate)
        while self._kept - len(self._parts[0]) >= limit:
            gone = len(self._parts.pop(0))
            self._first += gone
            self._kept -= gone

    def between(self, start_s: float, end_s: float) -> NDArray[np.int16]:
        """Return the samples between two times that are still kept."""
        if not self._parts:
            return np.empty(0, np.int16)
        samples = np.concatenate(self._parts)
        start = max(0, round(start_s * self.rate) - self._first)
        return samples[start : max(start, round(end_s * self.rate) - self._first)]


def _mono(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    samples: NDArray[np.int16] = np.frombuffer(frame.data, np.int16)
    if frame.num_channels != 1:
        samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
    return samples
