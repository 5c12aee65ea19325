"""Streams: an utterance that arrives in packets, with a transcript that may change."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emo_runtime.audio.arrays import MAX_CHANNELS, as_floats, check_rate, check_samples, to_mono
from emo_runtime.audio.encodings import Encoding, PacketDecoder
from emo_runtime.audio.mfcc_stream import Floats, MfccStream
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.engine import AudioFeatures, Engine, TextFeatures
from emo_runtime.errors import AudioError, ClosedError
from emo_runtime.notes import Note
from emo_runtime.result import Answer
from emo_runtime.timing import Clock


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
        on_answer: Callable[[Answer], object],
    ) -> None:
        check_rate(sample_rate, "the stream")
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(f"a stream of {channels} channels: 1 to {MAX_CHANNELS} can be mixed.")
        if window_s is not None and not window_s > 0:
            raise AudioError(f"window_s={window_s}: give a number of seconds above 0.")
        self._engine = engine
        self._sample_rate = sample_rate
        self._encoding: Encoding = encoding
        self._channels = channels
        self._task = task
        self._max_duration_s = max_duration_s
        self._window_s = window_s
        self._on_answer = on_answer
        self.reset()

    def reset(self) -> None:
        """Discard the sound and text so far and start the next utterance."""
        self._decoder = PacketDecoder(self._encoding, self._channels)
        self._cut = b""
        self._mfcc = MfccStream(self._engine.front_end(), self._sample_rate, self._window_s)
        self._whole: Floats | None = None
        self._text: str | None = None
        self._encoded_text: tuple[TaskName, TextFeatures] | None = None
        self._final: Answer | None = None

    @property
    def duration_s(self) -> float:
        """Seconds of sound received."""
        return self._mfcc.duration_s

    def feed(self, chunk: bytes | bytearray | memoryview | NDArray[Any]) -> None:
        """Take a packet: bytes in the stream's encoding, or samples [time] or [time, channels].

        Raises AudioError, and leaves the stream as it was, where samples are NaN, infinite or
        far too large, or where the utterance would exceed ``max_duration_s``; ClosedError after
        ``finish()``.
        """
        if self._whole is not None:
            raise ClosedError("this stream is finished: call reset() before the next utterance.")
        if isinstance(chunk, (bytes, bytearray, memoryview)):
            samples, cut = self._decoder(self._cut + bytes(chunk))
            may_be_wrong = self._encoding == "pcm_f32le"
        else:
            array = np.asarray(chunk)
            samples, cut = self._from_array(array), self._cut
            may_be_wrong = array.dtype.kind == "f"
        if len(samples):
            if may_be_wrong:  # integers are finite, and at full scale at most
                check_samples(samples)
            self._check_duration(len(samples))
            self._mfcc.feed(samples)
        self._cut = cut

    def set_text(self, transcript: str | None) -> None:
        """The transcript as it stands now; None or blank: there is none yet."""
        text = transcript if transcript is None or transcript.strip() else None
        if text != self._text:
            self._text, self._encoded_text, self._final = text, None, None

    def partial(self) -> Answer:
        """The answer for what is there so far; changes nothing. Raises TaskError, TextError."""
        frames = self._mfcc.log_mel() if self._whole is None else self._whole
        return self._final or self._answer(frames)

    def finish(self) -> Answer:
        """The answer for the whole utterance. Raises TaskError, TextError, AudioError."""
        if self._whole is None:
            self._whole = self._mfcc.finish()
        if self._final is None:
            self._final = self._answer(self._whole)
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

    def _answer(self, log_mel: Floats) -> Answer:
        heard_any = self._mfcc.duration_s > 0 and len(log_mel) > 0
        name = self._engine.resolve_task(
            self._task, has_text=self._text is not None, has_audio=heard_any
        )
        clock = Clock()
        audio_features = text_features = None
        if name != "text":
            audio_features = self._audio_features(log_mel, clock)
        if name != "audio" and self._text is not None:
            text_features = self._text_features(self._text, name, clock)
        answer = self._engine.predict(name, audio_features, text_features, clock)
        self._on_answer(answer)
        return answer

    def _audio_features(self, log_mel: Floats, clock: Clock) -> AudioFeatures:
        notes: tuple[Note, ...] = ()
        if self._cut:
            notes = (Note("cut_off", "the stream ends in the middle of a sample"),)
        with clock("mfcc"):
            return self._engine.pool_frames(log_mel, self._mfcc.duration_s, notes)

    def _text_features(self, text: str, name: TaskName, clock: Clock) -> TextFeatures:
        """The text branch runs only when the text, or what it is wanted for, has changed."""
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
            return to_mono(as_floats(samples))
        raise AudioError(
            f"samples of shape {samples.shape} in a stream of {self._channels} channels: give "
            "[time] for one channel, else [time, channels]."
        )
