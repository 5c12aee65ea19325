"""The loop of the worker process, in this process."""

import msgspec

from emo_bench.worker.main import serve
from emo_bench.worker.protocol import (
    CostsResult,
    Failed,
    GetOutcomes,
    LoadResult,
    LoadSettings,
    MeasureCosts,
    Open,
    Opened,
    Outcomes,
    RunLoad,
    WarmUp,
)
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
