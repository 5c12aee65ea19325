"""Streams: an utterance that arrives in packets, with a transcript that may change."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_runtime.arguments import check_count, check_number
from emo_runtime.audio.arrays import MAX_CHANNELS, as_floats, check_rate, check_samples
from emo_runtime.audio.encodings import PacketDecoder
from emo_runtime.audio.features import Features
from emo_runtime.audio.packet_stream import PacketStream
from emo_runtime.audio.pre_roll import PreRoll
from emo_runtime.audio.quality import QualityMeter
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.engine import AudioFeatures, Engine, TextFeatures
from emo_runtime.errors import AudioError, ClosedError, TextError
from emo_runtime.hooks import Hooks
from emo_runtime.notes import Note
from emo_runtime.result import Answer
from emo_runtime.speaker import Speaker
from emo_runtime.timing import Clock

Floats = NDArray[np.float32]
Packet = bytes | bytearray | memoryview | NDArray[Any]

_CUT_OFF = Note("cut_off", "the stream ends in the middle of a sample")
_MAX_S = 86_400.0


class EmotionStream:
    """One utterance that arrives in packets. Created by ``EmotionRecognizer.stream``.

    ``finish()`` equals ``recognize()`` on the whole utterance. A lock makes it safe to share
    between threads and asyncio tasks; packets are taken in the order in which they are fed.

    ``afeed``, ``apartial`` and ``afinish`` run in the recognizer's worker threads. Cancelling them
    leaves the stream usable.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        sample_rate: int,
        encoding: str,
        channels: int,
        channel: int | None,
        task: TaskName | None,
        max_duration_s: float,
        window_s: float | None,
        partial_interval_s: float,
        speaker: Speaker | None,
        prefix_s: float | None,
        hooks: Hooks,
        submit: Callable[[Callable[[], Any]], Future[Any]],
    ) -> None:
        self._sample_rate = check_count("sample_rate", sample_rate, low=0, high=1 << 31)
        check_rate(self._sample_rate, "the stream")
        self._channels = check_count("channels", channels, low=1, high=MAX_CHANNELS)
        if channel is not None:
            channel = check_count("channel", channel, low=0, high=self._channels - 1)
        limit = check_number("max_duration_s", max_duration_s, low=0, above=True)
        if window_s is not None:
            window_s = check_number("window_s", window_s, low=0, high=_MAX_S, above=True)
        if prefix_s is not None:
            prefix_s = check_number("prefix_s", prefix_s, low=0, high=_MAX_S)
        interval_s = check_number("partial_interval_s", partial_interval_s, low=0)
        engine.check_speaker(speaker)
        self._engine = engine
        self._encoding = encoding
        self._channel = channel
        self._task = None if task is None else engine.check_task(task)
        self._max_duration_s = limit
        self._window_s = window_s
        self._partial_interval_s = interval_s
        self._speaker = speaker
        self._prefix_s = prefix_s
        self._hooks = hooks
        self._submit = submit
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Discard the sound and text so far and start the next utterance."""
        with self._lock:
            self._decoder = PacketDecoder(self._encoding, self._channels, self._channel)
            self._cut = b""
            self._finished = False
            self._pre_roll: PreRoll | None = None
            if self._prefix_s is not None:
                self._pre_roll = PreRoll(round(self._prefix_s * self._sample_rate))
            self._start_utterance()

    def _start_utterance(self) -> None:
        self._sound = PacketStream(self._engine.front_end(), self._sample_rate, self._window_s)
        self._quality = QualityMeter(self._sample_rate, self._window_s)
        self._waiting = self._pre_roll is not None
        self._text: str | None = None
        self._encoded_text: tuple[TaskName, TextFeatures] | None = None
        self._encoded_audio: tuple[TaskName, AudioFeatures] | None = None
        self._encoded_s = 0.0  # value of received_s when the sound was encoded
        self._is_whole = False  # the encoded sound is the whole utterance
        self._in_profile = False
        self._final: Answer | None = None

    @property
    def received_s(self) -> float:
        """Seconds of sound received since the start of the utterance."""
        return self._sound.duration_s

    @property
    def duration_s(self) -> float:
        """Seconds of sound that an answer uses: with ``window_s`` at most the window."""
        received_s = self.received_s
        return received_s if self._window_s is None else min(received_s, self._window_s)

    def begin(self) -> None:
        """Start the utterance, ``prefix_s`` before the next packet.

        Sound before it is discarded. Does nothing while an utterance is in progress, or without
        ``prefix_s``. Raises ClosedError after ``finish()``.
        """
        with self._hooks.errors(), self._lock:
            self._check_open()
            if self._waiting and self._pre_roll is not None:
                self._waiting = False
                self._add(self._pre_roll.take())

    def feed(self, chunk: Packet) -> None:
        """Take a packet: bytes in the stream's encoding, or samples [time] or [time, channels].

        Raises:
            AudioError: The packet is not sound, samples are NaN, infinite or far too large, or the
                utterance would exceed ``max_duration_s``. The stream is unchanged.
            ClosedError: The stream is finished.
        """
        with self._hooks.errors(), self._lock:
            self._check_open()
            if isinstance(chunk, (bytes, bytearray, memoryview)):
                samples, cut = self._decoder(self._cut + bytes(chunk))
                may_be_wrong = self._decoder.encoding == "pcm_f32le"
            else:
                array = _as_array(chunk)
                samples, cut = self._from_array(array), self._cut
                may_be_wrong = array.dtype.kind == "f"
            if len(samples):
                if may_be_wrong:  # integers are finite, and at full scale at most
                    check_samples(samples)
                self._take(samples)
            self._cut = cut

    def set_text(self, transcript: str | None) -> None:
        """Set the current transcript; None or white space: there is none yet. Raises TextError."""
        if transcript is not None and not isinstance(transcript, str):
            with self._hooks.errors():
                raise TextError(
                    f"the transcript is of type {type(transcript).__name__:.40}. Give a string or "
                    "None."
                )
        text = transcript if transcript is None or transcript.strip() else None
        with self._lock:
            if text != self._text:
                self._text, self._encoded_text, self._final = text, None, None

    def partial(self) -> Answer:
        """Answer what has been received so far, without changing the stream.

        Sound is encoded again if ``partial_interval_s`` seconds of sound have arrived since the
        last time; a changed transcript always is. Raises TaskError, TextError, AudioError.
        """
        with self._hooks.errors(), self._lock:
            if self._final is not None:
                return self._final
            has_audio = self._sound.has_features
            if not has_audio and self._text is None and self.received_s > 0:
                raise AudioError(
                    "too little sound has arrived for an answer. Feed more packets first."
                )
            return self._answer(has_audio=has_audio)

    def finish(self, *, keep_open: bool = False) -> Answer:
        """Answer the whole utterance.

        Args:
            keep_open: Start the next utterance at once: the following packets belong to it, or with
                ``prefix_s`` wait for ``begin()``.

        Raises:
            TaskError, TextError, AudioError: There is no answer. The stream is unchanged, apart
                from being finished.
        """
        with self._hooks.errors(), self._lock:
            self._finished = True
            if self._final is None:
                answer = self._answer(has_audio=self.received_s > 0)
                if self._encoded_audio is not None and not self._in_profile:
                    self._engine.add_to_profile(self._speaker, *self._encoded_audio)
                    self._in_profile = True
                self._final = answer
            answer = self._final
            if keep_open:
                self._finished = False
                self._start_utterance()
            return answer

    async def afeed(self, chunk: Packet) -> None:
        """Run ``feed`` in a worker thread. Raises what it raises, and OverloadedError."""
        await self._run(partial(self.feed, chunk))

    async def apartial(self) -> Answer:
        """Run ``partial`` in a worker thread. Raises what it raises, and OverloadedError."""
        answer: Answer = await self._run(self.partial)
        return answer

    async def afinish(self, *, keep_open: bool = False) -> Answer:
        """Run ``finish`` in a worker thread. Raises what it raises, and OverloadedError."""
        answer: Answer = await self._run(partial(self.finish, keep_open=keep_open))
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import asyncio  # noqa: PLC0415  (a tenth of the start-up time of a small program)

        # A call that was cancelled may still run and hold the lock: the loop must not wait for it.
        await asyncio.to_thread(self.reset)

    async def _run(self, call: Callable[[], Any]) -> Any:
        import asyncio  # noqa: PLC0415  (see __aexit__)

        return await asyncio.wrap_future(self._submit(call))

    def _check_open(self) -> None:
        if self._finished:
            raise ClosedError("this stream is finished. Call reset() before the next utterance.")

    def _take(self, samples: Floats) -> None:
        if self._waiting and self._pre_roll is not None:
            self._pre_roll.feed(samples)
            return
        duration_s = self.received_s + len(samples) / self._sample_rate
        if duration_s > self._max_duration_s and self._window_s is None:
            raise AudioError(
                f"the utterance is longer than {self._max_duration_s:g} s. Call finish() and "
                "reset() at its end, raise max_duration_s, or give window_s."
            )
        self._add(samples)

    def _add(self, samples: Floats) -> None:
        self._sound.feed(samples)
        self._quality.feed(samples)

    def _answer(self, *, has_audio: bool) -> Answer:
        name = self._engine.resolve_task(
            self._task, has_text=self._text is not None, has_audio=has_audio
        )
        clock = Clock()
        audio_features = text_features = None
        if name != "text":
            audio_features = self._audio_features(name, clock)
        if name != "audio" and self._text is not None:
            text_features = self._text_features(self._text, name, clock)
        answer = self._engine.predict(name, audio_features, text_features, clock, self._speaker)
        self._hooks.answer(answer)
        return answer

    def _audio_features(self, name: TaskName, clock: Clock) -> AudioFeatures:
        """Encode the sound, or return the last encoding if it is recent enough."""
        last = self._encoded_audio
        if last is not None and last[0] == name and (self._is_whole or self._is_recent(name)):
            return last[1]
        with clock("front_end"):
            features = self._features()
        notes = self._decoder.notes + self._quality.quality().notes(self._engine.bandwidth_hz)
        if self._cut:
            notes += (_CUT_OFF,)
        encoded = self._engine.encode_features(features, name, self.duration_s, notes, clock)
        self._encoded_audio, self._is_whole = (name, encoded), self._finished
        self._encoded_s = self.received_s
        return encoded

    def _is_recent(self, name: TaskName) -> bool:
        return (
            not self._finished
            and self._engine.uses_speech_graph(name)
            and self.received_s - self._encoded_s < self._partial_interval_s
        )

    def _features(self) -> Features:
        return self._sound.finish() if self._finished else self._sound.features()

    def _text_features(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """Encode the text, or return the last encoding if text and task are the same."""
        if self._encoded_text is None or self._encoded_text[0] != name:
            self._encoded_text = (name, self._engine.encode_text(text, name, clock))
        return self._encoded_text[1]

    def _from_array(self, samples: NDArray[Any]) -> Floats:
        if samples.ndim == 1 and self._channels == 1:
            return as_floats(samples)
        if samples.ndim == 2 and samples.shape[1] == self._channels:
            return self._decoder.mix(as_floats(samples))
        raise AudioError(
            f"samples of shape {samples.shape} in a stream of {self._channels} channels: give "
            "[time] for one channel, else [time, channels]."
        )


def _as_array(chunk: Any) -> NDArray[Any]:
    if isinstance(chunk, np.ndarray | list | tuple):
        try:
            return np.asarray(chunk)
        except ValueError:
            raise AudioError("the samples are lists of different lengths.") from None
    raise AudioError(
        f"a packet of type {type(chunk).__name__:.40}. Give bytes in the stream's encoding, or an "
        "array of samples."
    )
