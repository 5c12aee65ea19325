"""Human-readable progress and report of an export, on standard error."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.table import Table

from emo_export.evaluation.latency import SOUND_S
from emo_export.report import STEPS, Report, Step


class Progress:
    """A spinner with the name of the current step, and a line for each finished step.

    Without a terminal only the lines are printed.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status = self._console.status(f"{STEPS[0]} ...")

    def __call__(self, step: Step) -> None:
        """Print the line of the finished ``step``."""
        size = "" if step.size_bytes is None else f"{_megabytes(step.size_bytes):>10}"
        self._console.print(f"{step.name:<10}{step.duration_s:8.2f} s{size}")
        following = STEPS[STEPS.index(step.name) + 1 :]
        if following:
            self._status.update(f"{following[0]} ...")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()


def show(report: Report) -> None:
    """Print the report of an export: files, accuracy and latency."""
    console = Console(stderr=True, highlight=False)
    console.print(_files(report))
    console.print(_comparisons(report))
    console.print(_speeds(report))
    for remark in report.findings.remarks():
        console.print(remark, soft_wrap=True)
    console.print(f"Wrote {report.output}: tasks {', '.join(report.tasks)}.", soft_wrap=True)


def _files(report: Report) -> Table:
    table = Table("file", title="What was written", title_justify="left")
    table.add_column("size", justify="right")
    for name, size in report.files.items():
        table.add_row(name, _megabytes(size))
    table.add_row("all", _megabytes(sum(report.files.values())))
    return table


def _comparisons(report: Report) -> Table:
    title = f"Against {report.findings.reference}, on {report.findings.evaluated}"
    table = Table("task", "precision", title=title, title_justify="left")
    for name in ("label agreement", "largest difference", "macro-F1 (the reference's)"):
        table.add_column(name, justify="right")
    for item in report.findings.comparisons:
        f1 = "" if item.macro_f1 is None else f"{item.macro_f1:.4f} ({item.reference_macro_f1:.4f})"
        table.add_row(
            item.task,
            item.precision,
            f"{item.agreement:.4f}",
            f"{item.largest_probability_difference:.2g}",
            f1,
        )
    return table


def _speeds(report: Report) -> Table:
    title = f"Medians on this machine: one transcript, or {SOUND_S:g} s of sound"
    table = Table("graph", "precision", title=title, title_justify="left")
    for name in ("ms", "ms of the reference", "ratio"):
        table.add_column(name, justify="right")
    for item in report.speeds:
        table.add_row(
            item.graph,
            item.precision,
            f"{item.latency_ms:.2f}",
            f"{item.reference_ms:.2f}",
            f"{item.ratio:.2f}",
        )
    return table


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
