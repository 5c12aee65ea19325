"""Reports are written, read, shown, drawn and compared; missing percentiles are named."""

import json

import pytest

from emo_bench.report import formatting as words
from emo_bench.report.compare import compare
from emo_bench.report.markdown import to_markdown
from emo_bench.report.schema import EngineReport, encode_report, read_report, report_schema
from emo_bench.report.write import write_report
from emo_runtime import EmoError
from helpers.corpora import ROOT
from helpers.reports import report


def test_a_report_comes_back_as_it_was(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(encode_report(report()))
    assert read_report(path) == report()


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"schema": "emo-report/2"}'])
def test_invalid_reports_are_refused(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(EmoError, match="not a report of emo-bench"):
        read_report(tmp_path / "a.json")
    with pytest.raises(EmoError, match="can't be read"):
        read_report(tmp_path / "missing.json")


def test_percentiles_without_enough_samples_are_not_there_and_named():
    found = report(count=500)
    single = found.engines[0].measurements[0]
    assert single.percentiles["p95"] is not None
    assert single.percentiles["p99"] is None
    remarks = "\n".join(words.remarks(found))
    assert (
        "emo SingleStream: p99 needs 1,000 samples, 500 are there (nor is p99.9 given)" in remarks
    )
    assert "rival was not measured: torch is not installed" in remarks


def test_a_page_has_all_parts():
    page = to_markdown(report(warnings=["noisy host"], interrupted=True))
    single = report().engines[0].measurements[0]
    for shown in (
        "A CPU, 2 cores (affinity)",
        "| emo | SingleStream | 2,000 |",
        words.milliseconds(single.percentiles["p99"]),
        "front_end 1.50 ms, text 2.00 ms",
        "emo Server: rate 88",
        "noisy host",
        "interrupted",
        "rival was not measured",
    ):
        assert shown in page
    header = next(line for line in page.splitlines() if line.startswith("| engine"))
    row = next(line for line in page.splitlines() if line.startswith("| emo | Offline"))
    assert header.count("|") == row.count("|")


def test_files(tmp_path):
    paths = write_report(report(), tmp_path)
    assert {path.name for path in paths} == {
        "report.json",
        "report.md",
        "latency-cdf.png",
        "latency-over-tokens.png",
        "throughput-against-p99.png",
        "phases.png",
    }
    for path in paths[2:]:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_report_of_nothing_draws_nothing(tmp_path):
    empty = report(engines=[EngineReport("emo", failure="it failed")])
    assert [path.name for path in write_report(empty, tmp_path)] == ["report.json", "report.md"]


def test_the_same_engine_twice_is_no_regression():
    differences = compare(report(seed=1), report(seed=2), 0.05)
    assert [(item.scenario, item.percentile) for item in differences] == [
        ("SingleStream", "p50"),
        ("SingleStream", "p99"),
        ("Server", "p50"),
        ("Server", "p99"),
    ]
    assert not any(item.regression for item in differences)


@pytest.mark.parametrize(
    ("scale", "tolerance", "regression"), [(1.3, 0.05, True), (1.3, 0.5, False), (0.7, 0.05, False)]
)
def test_a_slower_engine_is_one_beyond_the_tolerance(scale, tolerance, regression):
    first = compare(report(seed=1), report(scale, seed=2), tolerance)[0]
    assert first.significant
    assert first.regression is regression
    assert first.ratio.low < scale < first.ratio.high
    assert first.new_ms == pytest.approx(first.old_ms * first.ratio.value)


def test_the_schema_describes_the_report():
    schema = report_schema()
    assert set(schema["$defs"]["Report"]["properties"]) == set(json.loads(encode_report(report())))
    kept = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    assert kept == schema, "docs/report.schema.json is not current: run `make schema`"
