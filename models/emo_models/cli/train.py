"""``emo-train``: the paper's recipes from the command line.

Only click and the recipes are imported here; torch comes with the command that needs it.
"""

# ruff: noqa: PLC0415  (a command imports what it needs: --help works without torch)

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from emo_models.cli.options import config_option, recipe_options, take_recipe, write_config
from emo_models.recipes import FusionRecipe, PretrainRecipe, TextRecipe
from emo_runtime.cli.common import Group, print_json, require_extra

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=Group, context_settings={"show_default": True})
def main() -> None:
    """Train the systems of the paper."""


def _rows_options(*, required: bool) -> Callable[[_Function], _Function]:
    """Which rows are trained on."""

    def decorate(function: _Function) -> _Function:
        for option in reversed(
            [
                click.option("--train", type=_FILE, multiple=True, required=required,
                             help="CSV with text (or transcription) and label; may be repeated."),
                click.option("--extra", type=_FILE, multiple=True,
                             help="More training rows, without those of an excluded row's video."),
                click.option("--exclude", type=_FILE, multiple=True,
                             help="Rows never trained on: left out by id and by text."),
                click.option("--videos", type=_FOLDER,
                             help="MEACorpus folder, which tells the videos of its rows."),
            ]
        ):  # fmt: skip
            function = option(function)
        return function

    return decorate


def _data_options(function: _Function) -> _Function:
    for option in reversed(
        [
            _rows_options(required=True),
            click.option("--test", type=_FILE, multiple=True, help="CSV to report on, whole."),
            click.option("--unseen-test", type=_FILE, multiple=True,
                         help="CSV to report on, without rows and videos seen in training."),
            click.option("--allow-leak", is_flag=True,
                         help="Accept test rows whose id stands in the training rows."),
            click.option("--limit", type=click.IntRange(1),
                         help="Use that many rows only, to try a run out."),
            click.option("--output", type=_FOLDER, required=True,
                         help="Directory of the run; the checkpoint is written in it."),
            config_option,
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@main.command()
@_data_options
@click.option(
    "--encoder", required=True, help="Directory or Hub id of a text encoder to fine-tune."
)
@click.option("--random-weights", is_flag=True, help="Take only the shape of --encoder.")
@click.option("--pooling", type=click.Choice(["cls", "mean"]), default="cls",
              help="What the classifier reads.")  # fmt: skip
@click.option("--ngram-buckets", type=click.IntRange(0), default=0,
              help="Add a linear head on hashed token n-grams (with --pooling mean).")  # fmt: skip
@click.option("--baseline", is_flag=True, help="Also measure majority and TF-IDF + linear SVM.")
@recipe_options(TextRecipe)
def text(**options: Any) -> None:
    """Task 1: fine-tune a text classifier (paper 4.1)."""
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from emo_models.runs.text import TextRun, run_text

    output = _begin(options)
    recipe, tables = take_recipe(TextRecipe, options), _tables(options)
    metrics = run_text(TextRun(**options), tables, recipe)
    _print_summary(metrics, output)


@main.command()
@_data_options
@click.option("--encoder", required=True,
              help="Directory or Hub id of a text encoder, or of a text checkpoint.")  # fmt: skip
@click.option("--audio-folder", type=_FOLDER, help="Where the sound files of the tables are.")
@click.option("--clips", type=_FILE, multiple=True,
              help="CSV of sound with speakers: pairs are then matched by label.")  # fmt: skip
@click.option("--cache", type=_FOLDER, help="Where audio features are kept.")
@recipe_options(FusionRecipe)
def fusion(**options: Any) -> None:
    """Task 2: train the fusion network on sound and text (paper 4.2)."""
    require_extra("train", "torch", "transformers", "matplotlib", "rich", "safetensors")
    from emo_models.data.fusion_data import FusionRun
    from emo_models.runs.fusion import run_fusion

    output = _begin(options)
    recipe, tables = take_recipe(FusionRecipe, options), _tables(options)
    metrics = run_fusion(FusionRun(**options), tables, recipe)
    _print_summary(metrics, output)


@main.command()
@click.option("--text", "texts", type=_FILE, multiple=True, required=True,
              help="Plain text, a piece per line; .xz is read too.")  # fmt: skip
@click.option("--vocab-size", type=click.IntRange(100), default=8000, help="Entries.")
@click.option("--positions", type=click.IntRange(8), default=128, help="Of the encoder to come.")
@click.option("--output", type=_FOLDER, required=True, help="Directory to write.")
@config_option
def tokenizer(**options: Any) -> None:
    """Train a cased WordPiece vocabulary."""
    require_extra("train", "torch", "transformers")
    from emo_models.runs.pretrain import run_tokenizer

    run_tokenizer(
        options["texts"],
        options["output"],
        vocab_size=options["vocab_size"],
        positions=options["positions"],
    )
    click.echo(f"wrote {options['output']}/tokenizer.json")


@main.command()
@click.option("--text", "texts", type=_FILE, multiple=True, required=True,
              help="Plain text, a piece per line; .xz is read too.")  # fmt: skip
@click.option("--tokenizer", type=_FOLDER, required=True, help="What `emo-train tokenizer` wrote.")
@_rows_options(required=False)
@click.option("--output", type=_FOLDER, required=True, help="Directory of the run.")
@config_option
@recipe_options(PretrainRecipe)
def pretrain(**options: Any) -> None:
    """Pretrain a small BERT on plain text, and on the transcripts of --train if given."""
    require_extra("train", "torch", "transformers", "sklearn")
    from emo_models.runs.pretrain import run_pretrain

    output = _begin(options)
    recipe, tables = take_recipe(PretrainRecipe, options), _tables(options)
    metrics = run_pretrain(options["texts"], tables, options["tokenizer"], output, recipe)
    click.echo(f"wrote {output}/checkpoint: loss {metrics['last_loss']:.4f}")


@main.command()
@click.argument("runs", type=_FOLDER, nargs=-1, required=True)
@click.option("--bundle", "bundles", type=_FOLDER, multiple=True,
              help="Bundle of each run, in order: its latency is measured.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def compare(runs: tuple[Path, ...], bundles: tuple[Path, ...], *, as_json: bool) -> None:
    """Table of RUNS: variant, parameters, macro-F1 with its bootstrap interval, latency."""
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from rich.console import Console
    from rich.table import Table

    from emo_models.runs.compare import compare_runs

    found = compare_runs(runs, bundles)
    if as_json:
        print_json(found)
        return
    table = Table("run", "variant", "parameters", "rows", "macro-F1", "without fear", "ms")
    for row in found:
        low, high = row["macro_f1_interval"]
        table.add_row(
            row["run"],
            f"{row['variant']} {row['n_mfcc'] or ''}".strip(),
            f"{row['parameters']:,}",
            row["rows"],
            f"{row['macro_f1']:.4f} [{low:.4f}, {high:.4f}]",
            f"{row['macro_f1_without_fear']:.4f}",
            "" if row["latency_ms"] is None else f"{row['latency_ms']:.2f}",
        )
    Console().print(table)


@main.command()
@click.option("--text", type=_FOLDER, required=True, help="Run of `emo-train text`.")
@click.option("--fusion", type=_FOLDER, required=True, help="Run of `emo-train fusion`.")
@click.option("--bundle", type=_FOLDER, required=True, help="What emo-export made of both.")
@click.option("--output", type=_FILE, required=True, help="CARD.md to write.")
def card(text: Path, fusion: Path, bundle: Path, output: Path) -> None:
    """Measure the default model's bundle on its runs' test sets, and write its card."""
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from emo_models.default_model.card import write_card
    from emo_models.default_model.figures import bundle_figures

    figures = bundle_figures(bundle, text, fusion, lambda name: click.echo(name, err=True))
    write_card(text, fusion, figures, output)
    click.echo(f"wrote {output}")


def _begin(options: dict[str, Any]) -> Path:
    """Write the run's options whole before it starts; returns its directory."""
    options.pop("config")
    output: Path = options["output"]
    output.mkdir(parents=True, exist_ok=True)
    write_config(output / "run.toml", options)
    return output


def _tables(options: dict[str, Any]) -> Any:
    from emo_models.data.datasets import Tables

    names = ("train", "extra", "exclude", "test", "unseen_test", "videos", "audio_folder")
    return Tables(**{name: options.pop(name) for name in names if name in options})


def _print_summary(metrics: dict[str, Any], output: Path) -> None:
    for name, figures in {"validation": metrics["validation"], **metrics["test"]}.items():
        low, high = figures["macro_f1_interval"]
        click.echo(
            f"{name}: macro-F1 {figures['macro_f1']:.4f} [{low:.4f}, {high:.4f}], without fear "
            f"{figures['macro_f1_without_fear']:.4f}, calibration error "
            f"{figures['calibration_error']:.4f}, {figures['rows']} rows"
        )
    click.echo(f"wrote {output}/checkpoint (best epoch {metrics['best_epoch']})")


if __name__ == "__main__":
    main()
