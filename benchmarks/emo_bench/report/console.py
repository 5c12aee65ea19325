"""Terminal output (rich): tables of a report, and progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from emo_bench.report import formatting as words
from emo_bench.report.schema import Report


def show(report: Report) -> None:
    """Print the tables on standard output."""
    # Without a terminal there is no width limit: do not truncate.
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    console.print(words.machine_line(report))
    latencies = _table("Latency in ms [95 % interval]", words.SCENARIO_HEADER)
    engines = _table("Costs", words.ENGINE_HEADER)
    for engine in report.engines:
        for measurement in engine.measurements:
            latencies.add_row(*words.scenario_row(engine, measurement))
        if engine.failure is None:
            engines.add_row(*words.engine_row(engine))
    console.print(latencies)
    console.print(engines)
    if rows := words.ratio_rows(report):
        ratios = _table("Ratios", words.RATIO_HEADER)
        for row in rows:
            ratios.add_row(*row)
        console.print(ratios)
    for engine in report.engines:
        if phases := words.phases(engine):
            console.print(f"{engine.name}, mean of each phase: {phases}")
        for line in words.figures(engine):
            console.print(line)
    for remark in words.remarks(report):
        console.print(f"! {remark}", style="yellow")


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Report progress on standard error, if it is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("starting") as status:
        yield status.update


def _table(title: str, header: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number < 2 else "right")
    return table
