"""One utterance of a live call: its stream, and when an answer is due."""

import time
from typing import Any, Self

from emo_runtime import Answer, AudioError, EmotionStream, TaskError, TextError
from emo_serving.errors import TooLargeError
from emo_serving.live.messages import Start, StreamOptions, parse_stream_options
from emo_serving.service import Service

# Packets of 20 ms are heard in blocks: one step into another thread, not 25. Any chunking gives the
# same answer, and half a second of sound is heard in less than a millisecond.
_BLOCK_S = 0.5
_BYTES = {"mulaw": 1, "alaw": 1, "pcm_s16le": 2, "pcm_f32le": 4}


class Call:
    """An utterance in progress. ``feed``, ``read`` and ``mark`` give an event, or None."""

    def __init__(self, service: Service, wishes: StreamOptions, stream_sid: str) -> None:
        self._service = service
        self._stream: EmotionStream = service.stream(
            wishes.sample_rate, wishes.encoding, wishes.channels, wishes.task, wishes.window_s
        )
        self._wishes = wishes
        self._block_bytes = int(
            _BLOCK_S * wishes.sample_rate * wishes.channels * _BYTES[wishes.encoding]
        )
        self._waiting: list[bytes] = []
        self._due = time.monotonic() + wishes.interval_s
        self.stream_sid = stream_sid
        self.track = wishes.track

    @classmethod
    async def begin(cls, service: Service, start: Start) -> Self:
        """The utterance that ``start`` asks for. Raises RequestError, AudioError."""
        wishes = parse_stream_options(start)
        service.check_text(wishes.text)
        if len(start.stream_sid) > 256:
            raise TooLargeError("a streamSid of more than 256 characters.")
        call = await service.in_thread(lambda: cls(service, wishes, start.stream_sid))
        call._stream.set_text(wishes.text)
        return call

    async def feed(self, packet: bytes) -> dict[str, Any] | None:
        """Take a packet. Raises AudioError."""
        self._waiting.append(packet)
        if self._is_due():
            return await self._partial()
        if sum(map(len, self._waiting)) >= self._block_bytes:
            await self.hear()
        return None

    async def hear(self) -> None:
        """Hear the packets that wait. Raises AudioError: only those that are wrong are left out."""
        await self._service.in_thread(self._hear)

    async def read(self, transcript: str) -> dict[str, Any] | None:
        """Take the transcript as it stands."""
        self._stream.set_text(transcript)
        return await self._partial() if self._is_due() else None

    async def mark(self, name: str) -> dict[str, Any]:
        """The answer for all that came before. Raises what ``EmotionStream.partial`` does."""
        answer = await self._service.in_thread(self._answer_now)
        return self._event(answer, mark=name[:256])

    async def finish(self) -> dict[str, Any]:
        """The final answer for what was heard: that of ``recognize()`` on the whole utterance."""
        return self._event(await self._service.in_thread(self._stream.finish), final=True)

    async def _partial(self) -> dict[str, Any] | None:
        try:
            answer = await self._service.in_thread(self._answer_now)
        except (TaskError, TextError):
            return None  # nothing that can be answered has come yet
        finally:
            self._due = time.monotonic() + self._wishes.interval_s
        return self._event(answer)

    def _answer_now(self) -> Answer:
        self._hear()
        return self._stream.partial()

    def _hear(self) -> None:
        packets, self._waiting = self._waiting, []
        try:
            self._stream.feed(b"".join(packets))
        except AudioError:  # which left the stream as it was
            self._hear_each(packets)

    def _hear_each(self, packets: list[bytes]) -> None:
        wrong: AudioError | None = None
        for packet in packets:
            try:
                self._stream.feed(packet)
            except AudioError as error:
                wrong = error
        if wrong is not None:
            raise wrong

    def _is_due(self) -> bool:
        return time.monotonic() >= self._due

    def _event(
        self, answer: Answer, *, final: bool = False, mark: str | None = None
    ) -> dict[str, Any]:
        event: dict[str, Any] = {
            "event": "emotion",
            "streamSid": self.stream_sid,
            "final": final,
            "answer": answer.to_dict(),
        }
        return event if mark is None else event | {"mark": mark}
