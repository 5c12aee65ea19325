"""EmotionProcessor in a pipeline of Pipecat, run by Pipecat's own test utilities."""

import asyncio
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from emo_runtime import EmotionRecognizer
from helpers.corpora import CLIPS

with warnings.catch_warnings():  # of the framework, at import
    warnings.simplefilter("default")
    pytest.importorskip("pipecat", reason="needs [pipecat]: run `make integrations`")
    from pipecat.frames.frames import (
        Frame,
        InputAudioRawFrame,
        TextFrame,
        TranscriptionFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.tests.utils import SleepFrame, run_test

    from emo_integrations.pipecat import EmotionFrame, EmotionProcessor

pytestmark = pytest.mark.filterwarnings("default")
TEXT = "¡Esto es una vergüenza!"
RATE = 16_000
PACKET = RATE // 50


@pytest.fixture(scope="module")
def recognizer():
    with EmotionRecognizer.open("emo-es-small") as opened:
        yield opened


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    samples, rate = soundfile.read(CLIPS / "queja.flac", dtype="int16")
    assert rate == RATE
    return samples[: len(samples) // PACKET * PACKET]


def packets(samples: np.ndarray) -> list[Frame]:
    return [
        InputAudioRawFrame(samples[start : start + PACKET].tobytes(), RATE, 1)
        for start in range(0, len(samples), PACKET)
    ]


def transcription(text: str = TEXT) -> TranscriptionFrame:
    return TranscriptionFrame(text, user_id="u1", timestamp="2026-01-01T00:00:00Z")


def send(processor: EmotionProcessor, frames: list[Frame]) -> list[Frame]:
    """Run the frames through Pipecat's test pipeline; return what came out, without sound."""
    down, _ = asyncio.run(
        run_test(processor, frames_to_send=frames, send_end_frame=True, start_timeout=60)
    )
    return [frame for frame in down if not isinstance(frame, InputAudioRawFrame)]


def utterance(samples: np.ndarray, text: str = TEXT) -> list[Frame]:
    # System frames overtake data frames: the pause keeps sound and transcription in order.
    return [
        VADUserStartedSpeakingFrame(),
        *packets(samples),
        VADUserStoppedSpeakingFrame(),
        SleepFrame(0.5),
        transcription(text),
    ]


def test_a_transcription_has_the_answer_of_sound_and_text(recognizer, sound):
    processor = EmotionProcessor(recognizer, wait_s=60)
    frames = send(processor, [*packets(sound[:PACKET]), *utterance(sound[PACKET:])])
    kinds = [type(frame) for frame in frames]
    assert kinds == [
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
        EmotionFrame,
        TranscriptionFrame,
    ]
    emotion, said = frames[2:]
    # The packet before the start is within prefix_s: the utterance is the whole clip.
    stream = recognizer.stream(sample_rate=RATE)
    stream.feed(sound)
    stream.set_text(TEXT)
    assert said.metadata["emotion"]["scores"] == pytest.approx(stream.partial().scores)
    assert said.metadata["emotion"]["label"] == recognizer.recognize(TEXT, (sound, RATE)).label
    assert emotion.answer.task == "fusion"
    assert (emotion.text, emotion.user_id) == (TEXT, "u1")
    assert said.text == TEXT


def test_other_frames_pass_and_sound_reaches_the_next_processor(recognizer, sound):
    processor = EmotionProcessor(recognizer)
    sent = [TextFrame("hola"), *packets(sound[: 5 * PACKET])]
    down, up = asyncio.run(run_test(processor, frames_to_send=sent, start_timeout=60))
    assert sorted(type(frame).__name__ for frame in down) == sorted(
        type(frame).__name__ for frame in sent
    )
    assert not up


def test_without_voice_activity_detection_the_text_is_answered(recognizer):
    frames = send(EmotionProcessor(recognizer, wait_s=60), [transcription()])
    emotion, said = frames
    assert emotion.answer.task == "text"
    assert said.metadata["emotion"]["scores"] == recognizer.recognize(TEXT).scores


def test_without_waiting_the_transcription_passes_first(recognizer, sound):
    frames = send(EmotionProcessor(recognizer, wait_s=0), utterance(sound))
    assert [type(frame) for frame in frames[2:]] == [TranscriptionFrame, EmotionFrame]
    assert "emotion" not in frames[2].metadata


def test_parts_of_an_utterance_are_read_together_and_the_next_starts_anew(recognizer, sound):
    frames = send(
        EmotionProcessor(recognizer, wait_s=60, adapt=False),
        [
            *utterance(sound, "Llevo tres semanas"),
            transcription("esperando."),
            SleepFrame(0.5),
            *utterance(sound[: 50 * PACKET], "Gracias."),
        ],
    )
    emotions = [frame for frame in frames if isinstance(frame, EmotionFrame)]
    assert [frame.text for frame in emotions] == [
        "Llevo tres semanas",
        "Llevo tres semanas esperando.",
        "Gracias.",
    ]
    assert emotions[2].answer.duration_s == pytest.approx(1.0, abs=0.55)  # and the prefix


def handlers(processor: EmotionProcessor) -> dict[str, list]:
    received: dict[str, list] = {"on_emotion": [], "on_emotion_error": []}

    def register(name: str) -> Callable:
        async def handler(_: EmotionProcessor, value: object) -> None:
            received[name].append(value)

        return processor.event_handler(name)(handler)

    for name in received:
        register(name)
    return received


def test_event_handlers_get_answers_and_errors(recognizer, sound):
    processor = EmotionProcessor(recognizer, wait_s=60)
    received = handlers(processor)
    send(processor, [*utterance(sound), SleepFrame(0.3)])
    assert [frame.text for frame in received["on_emotion"]] == [TEXT]
    assert received["on_emotion_error"] == []

    processor = EmotionProcessor(recognizer, wait_s=60)
    received = handlers(processor)
    frames = send(processor, [transcription(""), SleepFrame(0.3)])
    [error] = received["on_emotion_error"]
    assert "transcript is empty" in str(error)
    assert [type(frame) for frame in frames] == [TranscriptionFrame]
