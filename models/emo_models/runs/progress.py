"""Progress of a run on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from emo_models.training.loop import History


@contextmanager
def epoch_bar(title: str, epochs: int) -> Iterator[Callable[[History], None]]:
    """Show a progress bar over epochs with loss and macro-F1."""
    with _bar(title, epochs) as update:

        def on_epoch(history: History) -> None:
            update(
                len(history.losses),
                f"loss {history.losses[-1]:.4f}  macro-F1 {history.scores[-1]:.4f}  "
                f"best {history.best_score:.4f} (epoch {history.best_epoch})",
            )

        yield on_epoch


@contextmanager
def row_bar(title: str, rows: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar over rows; nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _bar(title, rows) as update:
        yield lambda done: update(done, f"{done}/{rows}")


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    if not sys.stderr.isatty():
        yield lambda done, text: click.echo(f"{title} {done}/{total}  {text}", err=True)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total, text="")
        yield lambda done, text: progress.update(task, completed=done, text=text)
