"""Measure a live stream: feed() of 20 ms, finish() without its text pass, CPU per second of sound.

python -m studies.stream_costs [--bundle BUNDLE] [--rate 8000] [--seconds 10] [--repeat 50]
"""

import argparse
import time

import numpy as np

from emo_runtime import EmotionRecognizer

PACKET_S = 0.02
WORDS = "Buenas tardes, le llamo porque llevo varios días esperando una respuesta de ustedes."


def main() -> None:
    """Print percentiles in milliseconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle")
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=50)
    options = parser.parse_args()
    recognizer = EmotionRecognizer.open(options.bundle, warm=True)
    random = np.random.default_rng(0)
    count = int(options.seconds * options.rate)
    sound = (3000 * random.standard_normal(count)).astype(np.int16).tobytes()
    size = 2 * int(PACKET_S * options.rate)
    packets = [sound[at : at + size] for at in range(0, len(sound), size)]
    feeds, finishes, cpu_per_s = [], [], []
    for _ in range(options.repeat):
        stream = recognizer.stream(sample_rate=options.rate)
        stream.set_text(WORDS)
        cpu = time.thread_time()
        for packet in packets:
            start = time.perf_counter()
            stream.feed(packet)
            feeds.append((time.perf_counter() - start) * 1e3)
        cpu_per_s.append((time.thread_time() - cpu) * 1e3 / options.seconds)
        start = time.perf_counter()
        answer = stream.finish()
        took_ms = (time.perf_counter() - start) * 1e3
        text_ms = answer.timings.tokenize_ms + answer.timings.text_ms
        finishes.append(took_ms - text_ms)
    print(f"{options.rate} Hz, {options.seconds:g} s, {len(feeds)} packets of 20 ms")
    for name, values in (
        ("feed() ms", feeds),
        ("finish() beyond the text pass, ms", finishes),
        ("CPU ms per second of sound", cpu_per_s),
    ):
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:36s} p50 {p50:7.3f}   p99 {p99:7.3f}")


if __name__ == "__main__":
    main()
