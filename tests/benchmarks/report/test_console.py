"""Tables of a report in the terminal, compared with the report's own figures."""

import pytest

from emo_bench.report import formatting
from emo_bench.report.console import progress, show
from helpers.reports import report


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]


def test_every_row_of_every_table_is_printed_whole(capsys):
    whole = report()
    show(whole)
    printed = capsys.readouterr().out
    rows = [cells(line) for line in printed.splitlines()]
    ours, gap = whole.engines
    for measurement in ours.measurements:
        assert list(formatting.scenario_row(ours, measurement)) in rows
    assert list(formatting.engine_row(ours)) in rows
    assert formatting.machine_line(whole) in printed
    assert f"{ours.name}, mean of each phase: " in printed
    for remark in formatting.remarks(whole):
        assert f"! {remark}" in printed
    assert any(gap.failure in remark for remark in formatting.remarks(whole))
    assert "Ratios" not in printed


def test_ratios_have_a_table_where_there_are_two_engines(capsys):
    both = report(engines=[*report().engines[:1], *report(scale=2.5, seed=1).engines[:1]])
    rows = formatting.ratio_rows(both)
    assert rows
    show(both)
    printed = [cells(line) for line in capsys.readouterr().out.splitlines()]
    assert all(list(row) in printed for row in rows)


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_goes_to_a_terminal_only(terminal, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with progress() as notify:
        notify("measuring emo")
    found = capsys.readouterr()
    assert found.out == ""
    assert ("measuring emo" in found.err or "starting" in found.err) is terminal
