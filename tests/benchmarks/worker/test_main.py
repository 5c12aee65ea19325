"""The loop of the worker process, in this process."""

import msgspec
import pytest

from emo_bench.worker.main import serve
from emo_bench.worker.protocol import (
    CallsResult,
    CostsResult,
    Done,
    Failed,
    GetMemory,
    GetOutcomes,
    LoadResult,
    LoadSettings,
    MeasureCosts,
    MemoryResult,
    Open,
    Opened,
    Outcomes,
    RunCalls,
    RunLoad,
    WarmUp,
)
from emo_bench.workload import Workload
from helpers.sounds import as_file, speechlike
from helpers.workloads import TEXT_ONLY

OPEN = Open("sleeper", {"delays_ms": [1.0]}, TEXT_ONLY)


def replies(*requests):
    found = []
    serve([msgspec.json.encode(item) for item in requests], found.append)
    return found


def test_the_first_request_opens_the_engine():
    [failed, opened] = replies(WarmUp(1), OPEN)
    assert failed == Failed("ProtocolError: the first request must be 'open'")
    assert isinstance(opened, Opened)
    assert opened.description == {"delays_ms": [1.0]}


def test_results():
    settings = LoadSettings("SingleStream", 20, 10.0)
    opened, costs, outcomes, load = replies(
        OPEN, MeasureCosts(4), GetOutcomes(2), RunLoad(settings)
    )
    assert isinstance(opened, Opened)
    assert isinstance(costs, CostsResult)
    assert costs.phases_ms == {"sleep": 1.0}
    assert isinstance(outcomes, Outcomes)
    assert [item.scores for item in outcomes.outcomes] == [{"joy": 1.0}] * 2
    assert isinstance(load, LoadResult)
    assert load.answered == len(load.latencies_ms) == 20


def test_invalid_requests_are_errors_and_the_loop_continues():
    lines = [b"{}", b'{"command": "nonsense"}', b"[", msgspec.json.encode(OPEN)]
    found = []
    serve(lines, found.append)
    assert [type(item) for item in found] == [Failed, Failed, Failed, Opened]
    assert "command" in found[0].error
    assert "nonsense" in found[1].error


def test_warming_up_and_memory():
    _, done, memory, again = replies(OPEN, WarmUp(3), GetMemory(), OPEN)
    assert done == Done()
    assert isinstance(memory, MemoryResult)
    assert memory.peak_bytes > 0
    assert again == Failed("ProtocolError: the engine is already open")


def test_live_calls_need_an_engine_with_streams(tiny_bundle, tmp_path):
    calls = RunCalls(calls=1, duration_s=0.1, seed=0)
    [_, failed] = replies(OPEN, calls)
    assert failed == Failed("ProtocolError: the engine has no streams")
    options = {"bundle": str(tiny_bundle()), "threads": 1}
    (tmp_path / "one.wav").write_bytes(as_file(speechlike(0.3, 8_000), 8_000))
    (tmp_path / "texts.csv").write_text("text,audio\nqué alegría,one.wav\n", encoding="utf-8")
    workload = Workload(texts=str(tmp_path / "texts.csv"))
    [_, found] = replies(Open("emo", options, workload), calls)
    assert isinstance(found, CallsResult)
    assert len(found.finish_ms) == len(found.tokens) == 1
    assert found.tokens[0] > 0
    assert found.sound_s == pytest.approx(0.3)
    assert len(found.feed_ms) == 15
