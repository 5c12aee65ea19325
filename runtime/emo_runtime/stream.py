"""Streams: an utterance that arrives in packets, with a transcript that may change."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import MAX_CHANNELS, as_floats, check_rate, check_samples
from emo_runtime.audio.encodings import Encoding, PacketDecoder
from emo_runtime.audio.features import Features
from emo_runtime.audio.packet_stream import PacketStream
from emo_runtime.audio.quality import QualityMeter
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.engine import AudioFeatures, Engine, TextFeatures
from emo_runtime.errors import AudioError, ClosedError
from emo_runtime.notes import Note
from emo_runtime.result import Answer
from emo_runtime.speaker import Speaker
from emo_runtime.timing import Clock

Floats = NDArray[np.float32]

_CUT_OFF = Note("cut_off", "the stream ends in the middle of a sample")


class EmotionStream:
    """One utterance that is still being spoken. Made by ``EmotionRecognizer.stream``.

    Belongs to one caller at a time; different streams of one recognizer may run in different
    threads. ``finish()`` equals ``recognize()`` on the whole utterance.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        sample_rate: int,
        encoding: Encoding,
        channels: int,
        task: TaskName | None,
        max_duration_s: float,
        window_s: float | None,
        partial_interval_s: float,
        speaker: Speaker | None,
        on_answer: Callable[[Answer], object],
    ) -> None:
        check_rate(sample_rate, "the stream")
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(
                f"channels={channels}: a stream has 1 to {MAX_CHANNELS} channels. Select the "
                "speaker's channel first."
            )
        if window_s is not None and not window_s > 0:
            raise AudioError(f"window_s={window_s}: give a number of seconds above 0.")
        if not partial_interval_s >= 0:
            raise AudioError(
                f"partial_interval_s={partial_interval_s}: give a number of seconds, 0 or more."
            )
        engine.check_speaker(speaker)
        self._engine = engine
        self._sample_rate = sample_rate
        self._encoding: Encoding = encoding
        self._channels = channels
        self._task = task
        self._max_duration_s = max_duration_s
        self._window_s = window_s
        self._partial_interval_s = partial_interval_s
        self._speaker = speaker
        self._on_answer = on_answer
        self.reset()

    def reset(self) -> None:
        """Discard the sound and text so far and start the next utterance."""
        self._decoder = PacketDecoder(self._encoding, self._channels)
        self._quality = QualityMeter(self._sample_rate)
        self._cut = b""
        self._sound = PacketStream(self._engine.front_end(), self._sample_rate, self._window_s)
        self._finished = False
        self._text: str | None = None
        self._encoded_text: tuple[TaskName, TextFeatures] | None = None
        self._encoded_audio: tuple[TaskName, AudioFeatures] | None = None
        self._is_whole = False  # the encoded sound is the whole utterance
        self._in_profile = False
        self._final: Answer | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of sound received."""
        return self._sound.duration_s

    def feed(self, chunk: bytes | bytearray | memoryview | NDArray[Any]) -> None:
        """Take a packet: bytes in the stream's encoding, or samples [time] or [time, channels].

        Raises:
            AudioError: Samples are NaN, infinite or far too large, or the utterance would exceed
                ``max_duration_s``. The stream is unchanged.
            ClosedError: The stream is finished.
        """
        if self._finished:
            raise ClosedError("this stream is finished. Call reset() before the next utterance.")
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            samples, cut = self._decoder(self._cut + bytes(chunk))
            may_be_wrong = self._decoder.encoding == "pcm_f32le"
        else:
            array = np.asarray(chunk)
            samples, cut = self._from_array(array), self._cut
            may_be_wrong = array.dtype.kind == "f"
        if len(samples):
            if may_be_wrong:  # integers are finite, and at full scale at most
                check_samples(samples)
            self._check_duration(len(samples))
            self._sound.feed(samples)
            self._quality.feed(samples)
        self._cut = cut

    def set_text(self, transcript: str | None) -> None:
        """Set the current transcript; None or white space: there is none yet."""
        text = transcript if transcript is None or transcript.strip() else None
        if text != self._text:
            self._text, self._encoded_text, self._final = text, None, None

    def partial(self) -> Answer:
        """Answer what has been received so far, without changing the stream.

        Sound is encoded again if ``partial_interval_s`` seconds of sound have arrived since the
        last time; a changed transcript always is. Raises TaskError, TextError, AudioError.
        """
        if self._final is not None:
            return self._final
        has_audio = self._sound.has_features
        if not has_audio and self._text is None and self._sound.duration_s > 0:
            raise AudioError("too little sound has arrived for an answer. Feed more packets first.")
        return self._answer(has_audio=has_audio)

    def finish(self) -> Answer:
        """Answer the whole utterance. Raises TaskError, TextError, AudioError."""
        self._finished = True
        if self._final is None:
            answer = self._answer(has_audio=self._sound.duration_s > 0)
            if self._encoded_audio is not None and not self._in_profile:
                self._engine.add_to_profile(self._speaker, *self._encoded_audio)
                self._in_profile = True
            self._final = answer
        return self._final

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()

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
        self._on_answer(answer)
        return answer

    def _audio_features(self, name: TaskName, clock: Clock) -> AudioFeatures:
        """Encode the sound, or return the last encoding if it is recent enough."""
        if self._encoded_audio is not None and self._encoded_audio[0] == name:
            found = self._encoded_audio[1]
            if self._is_whole or self._is_recent(found, name):
                return found
        with clock("mfcc"):
            features = self._features()
        notes = self._decoder.notes + self._quality.quality().notes(self._engine.bandwidth_hz)
        if self._cut:
            notes += (_CUT_OFF,)
        encoded = self._engine.encode_features(features, name, self._sound.duration_s, notes, clock)
        self._encoded_audio, self._is_whole = (name, encoded), self._finished
        return encoded

    def _is_recent(self, found: AudioFeatures, name: TaskName) -> bool:
        new_s = self._sound.duration_s - found.duration_s
        return (
            not self._finished
            and self._engine.uses_speech_graph(name)
            and new_s < self._partial_interval_s
        )

    def _features(self) -> Features:
        return self._sound.finish() if self._finished else self._sound.features()

    def _text_features(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """Encode the text, or return the last encoding if text and task are the same."""
        if self._encoded_text is None or self._encoded_text[0] != name:
            self._encoded_text = (name, self._engine.encode_text(text, name, clock))
        return self._encoded_text[1]

    def _check_duration(self, count: int) -> None:
        duration_s = self.duration_s + count / self._sample_rate
        if duration_s > self._max_duration_s and self._window_s is None:
            raise AudioError(
                f"the utterance is longer than {self._max_duration_s:g} s. Call finish() and "
                "reset() at its end, raise max_duration_s, or give window_s."
            )

    def _from_array(self, samples: NDArray[Any]) -> Floats:
        if samples.ndim == 1 and self._channels == 1:
            return as_floats(samples)
        if samples.ndim == 2 and samples.shape[1] == self._channels:
            return self._decoder.mix(as_floats(samples))
        raise AudioError(
            f"samples of shape {samples.shape} in a stream of {self._channels} channels: give "
            "[time] for one channel, else [time, channels]."
        )
