"""An utterance of a live call: its stream of sound, and when an answer is due."""

import asyncio
import time
from typing import Any, Self

from emo_runtime import Answer, AudioError, EmotionStream, Speaker, TaskError, TextError
from emo_runtime.audio.encodings import sample_bytes
from emo_serving.live.messages import Start
from emo_serving.models import Model
from emo_serving.service import Service

# Packets of 20 ms are processed in blocks: one job in a thread instead of 50. The answer does not
# depend on how the sound is divided, and a second of it takes some two milliseconds.
_BLOCK_S = 1.0


class LiveUtterance:
    """An utterance in progress. Its methods return an event, or None if none is due."""

    def __init__(
        self, service: Service, start: Start, speaker: Speaker | None, model: Model | None
    ) -> None:
        options = start.options
        media = options.media
        self._service = service
        self._stream: EmotionStream = service.stream(
            media.sample_rate,
            media.encoding,
            media.channels,
            task=options.task,
            window_s=options.window_s,
            speaker=speaker,
            model=model,
        )
        self._options = options
        self._block_bytes = int(
            _BLOCK_S * media.sample_rate * media.channels * sample_bytes(media.encoding)
        )
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._due = time.monotonic() + options.interval_s
        # The transcript may come by another request, while a thread works on the stream.
        self._lock = asyncio.Lock()
        self.stream_id = start.stream_id
        self.track = options.track

    @classmethod
    async def begin(
        cls,
        service: Service,
        start: Start,
        speaker: Speaker | None = None,
        model: Model | None = None,
    ) -> Self:
        """Begin an utterance. Raises AudioError, TooLargeError."""
        service.check_text(start.options.text)
        utterance = await service.in_thread(lambda: cls(service, start, speaker, model))
        utterance._stream.set_text(start.options.text)
        return utterance

    def add(self, packet: bytes) -> bool:
        """Store a packet; True if there is now something to do: ``step``."""
        if packet:  # a list of empty ones would grow without end
            self._waiting.append(packet)
            self._waiting_bytes += len(packet)
        return self._waiting_bytes >= self._block_bytes or self._is_due()

    async def step(self) -> dict[str, Any] | None:
        """Process the stored packets, and answer if it is time. Raises AudioError."""
        if self._is_due():
            return await self._partial()
        await self.process()
        return None

    async def process(self) -> None:
        """Process the stored packets. Raises AudioError; only malformed packets are left out."""
        async with self._lock:
            packets = self._take_packets()
            await self._service.in_thread(lambda: self._process(packets))

    async def set_text(self, transcript: str) -> dict[str, Any] | None:
        """Take the transcript so far. Raises TooLargeError."""
        self._service.check_text(transcript)
        async with self._lock:
            self._stream.set_text(transcript)
        return await self._partial() if self._is_due() else None

    async def mark(self, name: str) -> dict[str, Any]:
        """Answer for everything so far. Raises what ``EmotionStream.partial`` raises."""
        async with self._lock:
            packets = self._take_packets()
            answer = await self._service.in_thread(lambda: self._answer_now(packets))
        return self._event(answer, mark=name[:256])

    async def finish(self) -> dict[str, Any]:
        """Return the final answer: that of ``recognize()`` on the whole utterance."""
        async with self._lock:
            answer = await self._service.in_thread(self._stream.finish)
        return self._event(answer, final=True)

    async def _partial(self) -> dict[str, Any] | None:
        try:
            async with self._lock:
                packets = self._take_packets()
                answer = await self._service.in_thread(lambda: self._answer_now(packets))
        except (TaskError, TextError):
            return None  # nothing that can be answered has arrived yet
        finally:
            self._due = time.monotonic() + self._options.interval_s
        return self._event(answer)

    def _answer_now(self, packets: list[bytes]) -> Answer:
        self._process(packets)
        return self._stream.partial()

    def _take_packets(self) -> list[bytes]:
        """Return the stored packets, and store none; not in a thread, where it could lose one."""
        packets, self._waiting, self._waiting_bytes = self._waiting, [], 0
        return packets

    def _process(self, packets: list[bytes]) -> None:
        try:
            self._stream.feed(b"".join(packets))
        except AudioError:  # the stream is unchanged
            self._process_each(packets)

    def _process_each(self, packets: list[bytes]) -> None:
        malformed: AudioError | None = None
        for packet in packets:
            try:
                self._stream.feed(packet)
            except AudioError as error:
                malformed = error
        if malformed is not None:
            raise malformed

    def _is_due(self) -> bool:
        return time.monotonic() >= self._due

    def _event(
        self, answer: Answer, *, final: bool = False, mark: str | None = None
    ) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event": "emotion",
            "streamSid": self.stream_id,
            "final": final,
            "answer": answer.to_dict(),
        }
        return event if mark is None else event | {"mark": mark}
