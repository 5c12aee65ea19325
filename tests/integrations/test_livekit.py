"""EmotionSTT around a speech-to-text of LiveKit Agents, as a plugin implements it."""

import asyncio
import warnings

import numpy as np
import pytest
import soundfile

from emo_runtime import EmotionRecognizer
from helpers.corpora import CLIPS

with warnings.catch_warnings():  # of the framework, at import
    warnings.simplefilter("default")
    pytest.importorskip(
        "livekit.agents", reason="needs the extra [livekit]: run `make integrations`"
    )
    from livekit import rtc
    from livekit.agents import stt
    from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

    from emo_integrations.livekit import EmotionSTT

pytestmark = pytest.mark.filterwarnings("default")
TEXT = "¡Esto es una vergüenza!"
RATE = 16_000
PACKET = RATE // 50


class ScriptedSTT(stt.STT):
    """A speech-to-text with a script: after so many seconds of sound it emits an event."""

    def __init__(self, script=()):
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.script = list(script)
        self.received = 0
        self.flushed = 0
        self.closed = False

    async def _recognize_impl(self, buffer, *, language, conn_options):
        return final(TEXT)

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return ScriptedStream(stt=self, conn_options=conn_options)

    async def aclose(self):
        self.closed = True


class ScriptedStream(stt.RecognizeStream):
    async def _run(self):
        script = list(self._stt.script)
        async for item in self._input_ch:
            if isinstance(item, self._FlushSentinel):
                self._stt.flushed += 1
                continue
            self._stt.received += item.samples_per_channel
            while script and self._stt.received / RATE >= script[0][0]:
                self._event_ch.send_nowait(script.pop(0)[1])
        for _, event in script:
            self._event_ch.send_nowait(event)


def final(text, start=0.0, end=0.0, kind=stt.SpeechEventType.FINAL_TRANSCRIPT):
    data = stt.SpeechData(language="es", text=text, start_time=start, end_time=end)
    return stt.SpeechEvent(type=kind, alternatives=[data])


@pytest.fixture(scope="module")
def recognizer():
    with EmotionRecognizer.open("emo-es-small") as opened:
        yield opened


@pytest.fixture(scope="module")
def sound():
    samples, rate = soundfile.read(CLIPS / "queja.flac", dtype="int16")
    assert rate == RATE
    return samples[: len(samples) // PACKET * PACKET]


def frame(samples, channels=1):
    return rtc.AudioFrame(samples.tobytes(), RATE, channels, len(samples) // channels)


def events_of(wrapper, samples):
    """Push the samples in packets of 20 ms, and return all events."""

    async def run():
        stream = wrapper.stream()
        for start in range(0, len(samples), PACKET):
            stream.push_frame(frame(samples[start : start + PACKET]))
            await asyncio.sleep(0)
        stream.end_input()
        found = [event async for event in stream]
        await stream.aclose()
        return found

    return asyncio.run(run())


def test_a_final_transcript_has_the_answer_of_sound_and_text(recognizer, sound):
    interim = final("¡Esto", kind=stt.SpeechEventType.INTERIM_TRANSCRIPT)
    inner = ScriptedSTT([(1.0, interim), (99.0, final(TEXT))])
    first, last = events_of(EmotionSTT(inner, recognizer), sound)
    assert first.alternatives[0].metadata is None
    [said] = last.alternatives
    expected = recognizer.recognize(TEXT, (sound, RATE))
    assert said.metadata["emotion"]["label"] == expected.label
    assert said.metadata["emotion"]["scores"] == pytest.approx(expected.scores, abs=1e-6)
    assert said.text == TEXT
    assert inner.received == len(sound)


def test_the_times_of_the_service_choose_the_sound(recognizer, sound):
    inner = ScriptedSTT([(99.0, final(TEXT, start=0.5, end=2.0))])
    [event] = events_of(EmotionSTT(inner, recognizer), sound)
    part = sound[RATE // 2 : 2 * RATE]
    expected = recognizer.recognize(TEXT, (part, RATE))
    assert event.alternatives[0].metadata["emotion"]["scores"] == pytest.approx(expected.scores)


def test_each_transcript_has_its_own_sound(recognizer, sound):
    """Without times, the sound of a transcript begins at the end of the one before."""
    both = np.concatenate([sound, sound])
    inner = ScriptedSTT([(99.0, final("hola")), (99.0, final("adiós"))])
    first, second = events_of(EmotionSTT(inner, recognizer), both)
    assert first.alternatives[0].metadata["emotion"]["scores"] == pytest.approx(
        recognizer.recognize("hola", (both, RATE)).scores
    )
    # No sound arrived between the two: the second is answered from its text.
    assert second.alternatives[0].metadata["emotion"]["scores"] == pytest.approx(
        recognizer.recognize("adiós").scores
    )


def test_a_tag_for_a_language_model(recognizer, sound):
    wrapper = EmotionSTT(ScriptedSTT([(99.0, final(TEXT))]), recognizer, tag="[{label}] {text}")
    [event] = events_of(wrapper, sound)
    label = event.alternatives[0].metadata["emotion"]["label"]
    assert event.alternatives[0].text == f"[{label}] {TEXT}"
    with pytest.raises(KeyError):
        EmotionSTT(ScriptedSTT(), recognizer, tag="{emotion}")


def test_recognition_without_a_stream(recognizer, sound):
    wrapper = EmotionSTT(ScriptedSTT(), recognizer)
    event = asyncio.run(wrapper.recognize([frame(sound)]))
    expected = recognizer.recognize(TEXT, (sound, RATE))
    assert event.alternatives[0].metadata["emotion"]["scores"] == pytest.approx(expected.scores)


def test_stereo_is_mixed(recognizer, sound):
    stereo = np.repeat(sound, 2)
    wrapper = EmotionSTT(ScriptedSTT(), recognizer)
    event = asyncio.run(wrapper.recognize([frame(stereo, channels=2)]))
    expected = recognizer.recognize(TEXT, (sound, RATE))
    assert event.alternatives[0].metadata["emotion"]["scores"] == pytest.approx(expected.scores)


def test_an_empty_transcript_has_no_metadata_and_without_sound_the_text_is_answered(
    recognizer, sound
):
    script = [(99.0, final("")), (99.0, final(TEXT))]
    first, second = events_of(EmotionSTT(ScriptedSTT(script), recognizer), sound[:0])
    assert first.alternatives[0].metadata is None
    assert second.alternatives[0].metadata is not None  # the text alone


def test_closing_closes_the_wrapped_one_and_its_events_are_passed_on(recognizer):
    inner = ScriptedSTT()
    wrapper = EmotionSTT(inner, recognizer)
    received = []
    wrapper.on("metrics_collected", received.append)
    inner.emit("metrics_collected", "metrics")
    assert received == ["metrics"]
    asyncio.run(wrapper.aclose())
    assert inner.closed
    inner.emit("metrics_collected", "more")
    assert received == ["metrics"]
    assert wrapper.capabilities == inner.capabilities
    assert wrapper.wrapped_stt is inner
