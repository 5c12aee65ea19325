"""Streams of a voice agent: turns with a pre-roll, asyncio, several tasks."""

import asyncio
import threading

import numpy as np
import pytest

from emo_runtime import ClosedError, EmotionRecognizer, OverloadedError
from helpers.sounds import speechlike
from helpers.tiny import SENTENCES

RATE = 16_000
PCM = np.round(speechlike(3.0, RATE, seed=5) * 32767).astype("<i2")


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(present_input=True))


def feed(stream, samples, size=320):
    for start in range(0, len(samples), size):
        stream.feed(samples[start : start + size].tobytes())


def test_turns_with_a_pre_roll(recognizer):
    stream = recognizer.stream(sample_rate=RATE, prefix_s=0.5)
    feed(stream, PCM[:RATE])
    assert stream.received_s == 0
    stream.begin()
    assert stream.received_s == 0.5
    stream.begin()
    feed(stream, PCM[RATE : 2 * RATE])
    stream.set_text(SENTENCES[0])
    first = stream.finish(keep_open=True)
    whole = recognizer.recognize(SENTENCES[0], (PCM[RATE // 2 : 2 * RATE], RATE))
    assert first.scores == whole.scores
    assert stream.received_s == 0
    feed(stream, PCM[2 * RATE :])
    stream.begin()
    second = stream.finish()
    assert second.task == "audio"
    last = recognizer.recognize(audio=(PCM[-RATE // 2 :], RATE))
    assert second.scores == last.scores
    for call in (stream.begin, lambda: stream.feed(b"")):
        with pytest.raises(ClosedError, match="finished"):
            call()
    stream.reset()
    stream.feed(PCM.tobytes())
    assert stream.received_s == 0


@pytest.mark.parametrize("prefix_s", [0, 0.1, 10])
def test_the_pre_roll_has_the_length_that_was_asked_for(recognizer, prefix_s):
    stream = recognizer.stream(sample_rate=RATE, prefix_s=prefix_s)
    feed(stream, PCM, size=777)
    stream.begin()
    assert stream.received_s == min(prefix_s, 3.0)


def test_turns_without_a_pre_roll(recognizer):
    stream = recognizer.stream(sample_rate=RATE)
    stream.begin()
    for part in (PCM[:RATE], PCM[RATE:]):
        feed(stream, part)
        answer = stream.finish(keep_open=True)
        assert answer.scores == recognizer.recognize(audio=(part, RATE)).scores


def test_a_cut_sample_is_continued_in_the_next_turn(recognizer):
    stream = recognizer.stream(sample_rate=RATE)
    data = PCM.tobytes()
    stream.feed(data[:32_001])
    stream.finish(keep_open=True)
    stream.feed(data[32_001:])
    assert stream.finish().scores == recognizer.recognize(audio=(PCM[16_000:], RATE)).scores


def test_asyncio(recognizer):
    async def talk():
        async with recognizer.stream(sample_rate=RATE) as stream:
            for start in range(0, len(PCM), 4_000):
                await stream.afeed(PCM[start : start + 4_000].tobytes())
            stream.set_text(SENTENCES[0])
            partial = await stream.apartial()
            final = await stream.afinish()
            assert stream.received_s == 3.0
        assert stream.received_s == 0
        return partial, final

    partial, final = asyncio.run(talk())
    assert final.scores == recognizer.recognize(SENTENCES[0], (PCM, RATE)).scores
    assert partial.task == final.task == "fusion"


def test_a_stream_is_shared_between_tasks(recognizer):
    async def talk():
        stream = recognizer.stream(sample_rate=RATE)

        async def speak():
            for start in range(0, len(PCM), 800):
                await stream.afeed(PCM[start : start + 800].tobytes())

        async def ask():
            for _ in range(20):
                if stream.received_s > 0.5:
                    assert (await stream.apartial()).scores
                await asyncio.sleep(0)

        await asyncio.gather(speak(), ask(), ask())
        return await stream.afinish()

    assert asyncio.run(talk()).scores == recognizer.recognize(audio=(PCM, RATE)).scores


def test_a_cancelled_call_leaves_the_stream_usable(tiny_bundle):
    waiting, going_on = threading.Event(), threading.Event()

    def hold(_):
        waiting.set()
        assert going_on.wait(60)

    recognizer = EmotionRecognizer.open(
        tiny_bundle(present_input=True), threads=1, max_waiting=1, on_answer=hold, self_test=False
    )

    async def talk():
        stream = recognizer.stream(sample_rate=RATE)
        stream.feed(PCM.tobytes())
        running = asyncio.ensure_future(stream.apartial())
        await asyncio.to_thread(waiting.wait, 60)
        queued = asyncio.ensure_future(stream.afeed(bytes(320)))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await stream.afeed(bytes(320))
        queued.cancel()
        running.cancel()
        await asyncio.gather(running, queued, return_exceptions=True)
        assert running.cancelled()
        assert queued.cancelled()
        going_on.set()
        await asyncio.to_thread(stream.feed, b"")  # waits for the call that was running
        return await stream.afinish()

    answer = asyncio.run(talk())
    assert answer.duration_s == 3.0
