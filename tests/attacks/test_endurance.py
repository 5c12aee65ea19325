"""Endurance: many threads and streams; resources do not grow and answers do not change.

`make test` runs a short version, `make endurance` the full one.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emo_runtime import EmotionRecognizer
from helpers.sounds import speechlike
from helpers.tiny import SENTENCES

THREADS = 16
RATE = 8_000
POINTS = 10
AT_ONCE = 1_000  # in the pool's queue: 100,000 would use more memory than the test measures

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self")


def resources():
    """Return resident bytes, file descriptors and threads."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def assert_flat(points):
    """Check the second half of the points: constant descriptors and threads, stable memory."""
    half = np.array(points[len(points) // 2 :], float)
    slopes = np.polyfit(np.arange(len(half)), half, 1)[0] * (len(half) - 1)
    memory, descriptors, threads = slopes
    assert memory < max(4 << 20, 0.01 * half[0, 0])
    assert abs(descriptors) < 0.5
    assert abs(threads) < 0.5


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(1_000_000, marks=pytest.mark.endurance)], ids=lambda n: f"{n:,}"
)
def test_answers_of_mixed_lengths_from_many_threads(tiny_bundle, count):
    draw = np.random.default_rng(11)
    inputs = [
        (
            " ".join(SENTENCES[: 1 + number % len(SENTENCES)]),
            None
            if number % 3 == 0
            else (speechlike(draw.uniform(0.02, 0.3), RATE, seed=number), RATE),
        )
        for number in range(50)
    ]
    points = []
    with EmotionRecognizer.open(tiny_bundle(), mode="throughput") as recognizer:

        def scores(number):
            return recognizer.recognize(*inputs[number % len(inputs)]).scores

        expected = [scores(number) for number in range(len(inputs))]
        with ThreadPoolExecutor(THREADS) as pool:
            for part in range(POINTS):
                end = (part + 1) * count // POINTS
                for first in range(part * count // POINTS, end, AT_ONCE):
                    numbers = range(first, min(first + AT_ONCE, end))
                    for number, found in zip(numbers, pool.map(scores, numbers), strict=True):
                        assert found == expected[number % len(inputs)]
                points.append(resources())
    assert_flat(points)


@pytest.mark.parametrize(
    "seconds", [60, pytest.param(24 * 3600, marks=pytest.mark.endurance)], ids=lambda s: f"{s} s"
)
def test_a_hundred_streams_in_accelerated_time(own_bundle, seconds):
    """100 calls of 100 ms packets: utterances of 10 to 30 s, a growing transcript, then the next.

    The bundle uses 8 kHz and short windows, so that a day takes half an hour of one core; every
    twentieth call is at 16 kHz, and goes through the resampler.
    """
    bundle = own_bundle()
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["audio"] |= {"sample_rate": RATE, "fmax": RATE / 2, "n_fft": 512}
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    recognizer = EmotionRecognizer.open(bundle, self_test=False)
    streams = 100
    rates = [RATE if number % 20 else 2 * RATE for number in range(streams)]
    sounds = {rate: speechlike(30.0, rate, seed=2) for rate in set(rates)}
    lengths = [round(10 * (10 + 20 * number / streams)) for number in range(streams)]
    texts = [SENTENCES[number % len(SENTENCES)] for number in range(streams)]
    opened = [recognizer.stream(sample_rate=rate) for rate in rates]
    first = {}
    points = []
    packets = seconds * 10
    for packet in range(packets):
        for number, stream in enumerate(opened):
            place = packet % lengths[number]
            size = rates[number] // 10
            stream.feed(sounds[rates[number]][place * size : (place + 1) * size])
            if place == lengths[number] // 2:
                stream.set_text(texts[number].split()[0])
                stream.partial()
            if place == lengths[number] - 1:
                stream.set_text(texts[number])
                answer = stream.finish().scores
                assert first.setdefault(number, answer) == answer
                stream.reset()
        if packet % max(1, packets // POINTS) == 0:
            points.append(resources())
    assert len(first) == streams
    assert_flat(points)
