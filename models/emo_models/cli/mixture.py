"""``emo-train text-mixture`` and ``emo-train soup``."""

# ruff: noqa: PLC0415  (a command imports what it needs: --help works without torch)

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from emo_models.atomic import atomic_text
from emo_models.cli.options import table_options, take_layout
from emo_models.errors import DataError
from emo_models.mixture_recipe import read_mixture_recipe
from emo_runtime.cli.common import Command, examples, require_extra

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_EXTRA = ("torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")


@click.command(
    "text-mixture",
    cls=Command,
    epilog=examples("emo-train text-mixture recipe.toml --encoder ./beto --output runs/mixture"),
)
@click.argument("recipe", type=_FILE)
@click.option("--encoder", help="Directory or Hub id of a BERT encoder; gets a new classifier.")
@click.option("--checkpoint", help="Text checkpoint with the same labels to train further.")
@click.option("--similarity-encoder",
              help="Encoder for similar_to in the recipe.  [default: --encoder]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), help="Seed, instead of the recipe's.")
@click.option("--report-tests", is_flag=True, help="Also report on the test rows of the recipe.")
@click.option("--output", type=_FOLDER, required=True, help="Directory of the run.")
def text_mixture(recipe: Path, seed: int | None, **options: Any) -> None:
    """Fine-tune a text classifier on several corpora, as described in the TOML file RECIPE.

    The checkpoint is the moving average of the weights. docs/models/text-mixture.md lists the keys
    of a recipe. Relative paths in it start at the working directory.
    """
    if (options["encoder"] is None) == (options["checkpoint"] is None):
        raise click.UsageError("give either --encoder or --checkpoint.")
    require_extra("train", *_EXTRA)
    described = read_mixture_recipe(recipe)
    if seed is not None:
        described = msgspec.structs.replace(described, seed=seed)
    from emo_models.runs.mixture import MixtureRun, run_mixture

    compared = {name: value for name, value in options.items() if name != "output"}
    run = MixtureRun(**options, options=compared)
    given = {**compared, "seed": seed}

    def write() -> None:
        text = recipe.read_text(encoding="utf-8")
        header = "".join(f"# {name} = {value}\n" for name, value in given.items() if value)
        atomic_text(run.output / "recipe.toml", f"# emo-train text-mixture\n{header}\n{text}")

    metrics = run_mixture(run, described, write)
    for note in metrics["notes"]:
        click.echo(f"Note: {note}", err=True)
    _print_figures({**metrics["validation"], **metrics["test"]})
    click.echo(f"wrote {run.output}/checkpoint (temperature {metrics['temperature']:.3f})")


@click.command(
    epilog=examples("emo-train soup runs/soup runs/seed-1 runs/seed-2 runs/seed-3"), cls=Command
)
@click.argument("output", type=_FOLDER)
@click.argument("runs", type=_FOLDER, nargs=-1, required=True)
@click.option("--weight", "weights", type=click.FloatRange(0, min_open=True), multiple=True,
              help="Weight of each run, in order; repeat it.  [default: all the same]")  # fmt: skip
@click.option("--prior", "priors", multiple=True, metavar="LABEL=FACTOR",
              help="Multiply the probability of a label (before normalization); may be "
              "repeated.")  # fmt: skip
@click.option("--temperature", type=click.FloatRange(0, min_open=True),
              help="Divisor of the logits.  [default: fitted on --validation, else the runs' "
              "mean]")  # fmt: skip
@click.option("--validation", type=_FILE, multiple=True,
              help="Table with text and label, such as RUN/rows_validation_NAME.csv.")  # fmt: skip
@table_options(labels=False)
def soup(output: Path, runs: tuple[Path, ...], priors: tuple[str, ...], **options: Any) -> None:
    """Average the weights of RUNS (text checkpoints of equal shapes and labels) into OUTPUT."""
    require_extra("train", *_EXTRA)
    layout = take_layout(options)
    from emo_models.runs.soup import SoupRun, run_soup

    run = SoupRun(output=output, runs=runs, priors=_priors(priors), layout=layout, **options)
    metrics = run_soup(run)
    _print_figures(metrics["validation"])
    click.echo(f"wrote {output} (temperature {metrics['temperature']:.3f})")


def _priors(given: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for entry in given:
        label, _, factor = entry.partition("=")
        try:
            value = float(factor)
        except ValueError:
            value = 0.0
        if not label.strip() or not 0 < value < float("inf"):
            raise DataError(f"--prior {entry!r:.60}: expected LABEL=FACTOR, such as neutral=2.")
        found[label.strip()] = value
    return found


def _print_figures(reports: dict[str, Any]) -> None:
    for name, figures in reports.items():
        rare = ""
        if "macro_f1_without_fear" in figures:
            rare = f", without fear {figures['macro_f1_without_fear']:.4f}"
        click.echo(
            f"{name}: macro-F1 {figures['macro_f1']:.4f}{rare}, accuracy "
            f"{figures['accuracy']:.4f}, calibration error {figures['calibration_error']:.4f}, "
            f"{figures['rows']} rows"
        )
