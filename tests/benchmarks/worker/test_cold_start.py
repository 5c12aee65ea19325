"""The steps of a first answer, in this process."""

import json
import sys
import time

from emo_bench.worker.cold_start import main


def test_every_step_is_timed_and_none_is_missing(tiny_bundle, monkeypatch, capsys):
    request = {"bundle": str(tiny_bundle()), "threads": 1, "text": "qué alegría", "audio": None}
    started = time.monotonic()
    monkeypatch.setattr(sys, "argv", ["cold", json.dumps({**request, "started": started - 2})])
    main()
    took_ms = (time.monotonic() - started) * 1e3
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["start", "import", "open", "first_answer"]
    # The process was started two seconds before; the other steps lie within the call.
    assert 2_000 <= found["start"] <= 2_000 + took_ms
    assert found["open"] > 0
    assert found["first_answer"] > 0
    assert sum(found.values()) <= 2_000 + took_ms
