"""Live calls: which packets are fed when, and what a busy engine costs them."""

import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from emo_bench.worker.live import PACKET_S, RATE, run_live
from emo_bench.workload import Sample

PACKET_BYTES = round(PACKET_S * RATE) * 2


def utterance(text: str, packets: float) -> Sample:
    """Noise of some packets, at the rate of a call: nothing is resampled."""
    length = round(packets * PACKET_BYTES / 2)
    samples = np.random.default_rng(len(text)).integers(-9_000, 9_000, length).astype(np.int16)
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE, format="WAV")
    return Sample(text, stream.getvalue())


def sound_of(sample: Sample) -> bytes:
    return soundfile.read(io.BytesIO(sample.audio), dtype="int16")[0].tobytes()


class Call:
    """A stream that records the utterances that it was fed; ``stall_s``: of its third packet."""

    def __init__(self, stall_s: float = 0.0, error: Exception | None = None) -> None:
        self.finished: list[tuple[str, bytes]] = []
        self.sizes: list[int] = []
        self._stall_s, self._error = stall_s, error
        self.reset()

    def feed(self, packet: bytes) -> None:
        if self._error is not None:
            raise self._error
        self.sizes.append(len(packet))
        if len(self.sizes) == 3:
            time.sleep(self._stall_s)
        self._data += packet

    def set_text(self, text: str) -> None:
        self._text = text

    def finish(self) -> SimpleNamespace:
        self.finished.append((self._text, self._data))
        return SimpleNamespace(tokens=len(self._text))

    @property
    def duration_s(self) -> float:
        return len(self._data) / 2 / RATE

    def reset(self) -> None:
        self._data, self._text = b"", ""


class Exchange:
    """An engine of such streams."""

    def __init__(self, concurrency: int = 1, **behaviour: object) -> None:
        self.concurrency = concurrency
        self.calls: list[Call] = []
        self._behaviour = behaviour

    def stream(self, sample_rate: int) -> Call:
        assert sample_rate == RATE
        self.calls.append(Call(**self._behaviour))  # type: ignore[arg-type]
        return self.calls[-1]


def test_calls_take_the_utterances_with_sound_in_turn():
    samples = [utterance(name, 2.5) for name in ("a", "bb", "ccc")]
    engine = Exchange(concurrency=2)
    found = run_live(engine, [*samples, Sample("no sound", None)], calls=2, duration_s=1.2, seed=0)
    heard = [call.finished for call in engine.calls]
    # Utterances follow each other every three packets from a drawn start, however late the machine.
    starts = np.random.default_rng(0).uniform(0, 1, 2)
    expected = np.ceil((1.2 - starts) / (3 * PACKET_S)).astype(int)
    assert [len(finished) for finished in heard] == expected.tolist()
    for first, finished in enumerate(heard):
        for turn, (text, data) in enumerate(finished):
            sample = samples[(first + 2 * turn) % 3]
            assert (text, data) == (sample.text, sound_of(sample))
    for call in engine.calls:
        assert call.sizes[:3] == [PACKET_BYTES, PACKET_BYTES, PACKET_BYTES / 2]
    count = sum(len(finished) for finished in heard)
    assert len(found.finish_ms) == len(found.tokens) == count
    assert len(found.feed_ms) == 3 * count
    assert found.sound_s == pytest.approx(2.5 * PACKET_S * count)
    assert found.duration_s > 1.0
    assert 0 <= found.cpu_s < found.duration_s * 10


def test_packets_that_wait_for_a_busy_engine_are_charged_for_it():
    engine = Exchange(stall_s=0.5)
    found = run_live(engine, [utterance("a", 30)], calls=1, duration_s=0.1, seed=0)
    [call] = engine.calls
    assert len(call.finished) == 1, "no utterance begins after the time is up"
    # The third packet takes 500 ms; those due meanwhile follow at once, each 20 ms less late.
    late = np.array(found.feed_ms)
    assert (late[2:10] >= 500 - 20 * np.arange(8) - 1).all()
    assert found.finish_ms[0] >= late[-1]


def test_an_error_of_the_engine_ends_all_calls():
    engine = Exchange(error=ValueError("the engine fell over"))
    with pytest.raises(ValueError, match="fell over"):
        run_live(engine, [utterance("a", 3)], calls=3, duration_s=60, seed=0)
    assert all(call.finished == [] for call in engine.calls)
