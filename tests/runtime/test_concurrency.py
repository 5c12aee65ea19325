"""Many threads and many streams on one recognizer, and memory under changing lengths."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emo_runtime import EmotionRecognizer
from helpers.sounds import speechlike
from helpers.tiny import SENTENCES

RATE = 8_000
STREAMS = 64
THREADS = 32


def test_interleaved_streams_answer_as_if_alone(tiny_bundle):
    random = np.random.default_rng(5)
    recognizer = EmotionRecognizer.open(tiny_bundle())
    sounds = [speechlike(random.uniform(0.2, 1.5), RATE, seed=seed) for seed in range(STREAMS)]
    texts = [SENTENCES[number % len(SENTENCES)] for number in range(STREAMS)]

    def alone(number):
        stream = recognizer.stream(sample_rate=RATE)
        stream.feed(sounds[number])
        stream.set_text(texts[number])
        return stream.finish().scores

    expected = [alone(number) for number in range(STREAMS)]
    streams = [recognizer.stream(sample_rate=RATE) for _ in range(STREAMS)]

    def packets(number):
        """All packets of one stream; the pool interleaves the streams."""
        for start in range(0, len(sounds[number]), 160):
            streams[number].feed(sounds[number][start : start + 160])
            if start % 1600 == 0:
                streams[number].set_text(texts[number][: start // 160 + 1])
                streams[number].partial()
        streams[number].set_text(texts[number])
        return streams[number].finish().scores

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(packets, range(STREAMS))) == expected


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/statm")
@pytest.mark.parametrize(
    "utterances", [800, pytest.param(10_000, marks=pytest.mark.endurance)], ids=str
)
def test_memory_does_not_grow_with_changing_lengths(utterances):
    random = np.random.default_rng(0)
    with EmotionRecognizer.open(tasks=["text"]) as recognizer:
        words = [int(count) for count in random.integers(1, 510, utterances)]
        for count in words[:500]:
            recognizer.recognize("no " * count)
        before = resident_bytes()
        for count in words[500:]:
            recognizer.recognize("no " * count)
        assert resident_bytes() < 1.05 * before
