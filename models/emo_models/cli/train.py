"""``emo-train``: train text, fusion and speech networks from the command line.

Tables are read before torch is imported, so that a bad row is reported at once.
"""

# ruff: noqa: PLC0415  (a command imports what it needs: --help works without torch)

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from emo_models.cli.distill import distill
from emo_models.cli.mixture import soup, text_mixture
from emo_models.cli.options import (
    config_option,
    preparation_options,
    recipe_options,
    table_options,
    take_layout,
    take_preparation,
    take_recipe,
    write_config,
)
from emo_models.cli.text_data import synthetic, trim
from emo_models.labels import parse_labels
from emo_models.recipes import FusionRecipe, PretrainRecipe, SpeechRecipe, TextRecipe
from emo_runtime.cli.common import Group, examples, print_json, require_extra

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
# Options that change nothing in the network.
_NOT_COMPARED = ("output", "cache")


@click.group(
    cls=Group,
    context_settings={"show_default": True},
    epilog=examples(
        "emo-train text --train train.csv --encoder ./beto --output runs/text",
        "emo-train text --help",
        "emo-train compare runs/text runs/text-small",
    ),
)
@click.version_option(package_name="emo-runtime")
def main() -> None:
    """Train text classifiers, speech networks and fusion networks, and prepare their inputs."""


def _rows_options(*, required: bool, separator: bool = False) -> Callable[[_Function], _Function]:
    """Add the options that choose the training rows, and how tables are read."""

    def decorate(function: _Function) -> _Function:
        for option in reversed(
            [
                click.option("--train", type=_FILE, multiple=True, required=required,
                             help="Table with text (or transcription) and label; may be repeated."),
                click.option("--extra", type=_FILE, multiple=True,
                             help="More training rows, except those of an excluded row's video."),
                click.option("--exclude", type=_FILE, multiple=True,
                             help="Rows that are not trained on: left out by id and by text."),
                click.option("--videos", type=_FOLDER,
                             help="MEACorpus folder, which names the video of its rows."),
            ]
        ):  # fmt: skip
            function = option(function)
        return table_options(labels=required, separator=separator)(function)

    return decorate


def _data_options(*, separator: bool = False) -> Callable[[_Function], _Function]:
    """Add the options of tables and output; ``separator``: rows may have several labels."""
    options = [
        _rows_options(required=True, separator=separator),
        click.option("--test", type=_FILE, multiple=True, help="Table to report on, all rows."),
        click.option("--unseen-test", type=_FILE, multiple=True,
                     help="Table to report on, without rows and videos seen in training."),
        click.option("--allow-leak", is_flag=True,
                     help="Accept test rows whose id is in the training rows."),
        click.option("--limit", type=click.IntRange(1),
                     help="Use only so many rows, to try a run out."),
        click.option("--output", type=_FOLDER, required=True,
                     help="Directory of the run; the checkpoint is written into it."),
        config_option,
    ]  # fmt: skip

    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@main.command(
    epilog=examples(
        "emo-train text --train train.csv --test test.csv --encoder ./beto --output runs/text",
        "emo-train text --train train.csv --encoder ./beto --limit 200 --output runs/try",
    )
)
@_data_options(separator=True)
@click.option(
    "--encoder", required=True, help="Directory or Hub id of a text encoder to fine-tune."
)
@click.option("--random-weights", is_flag=True, help="Take only the shape of --encoder.")
@click.option("--pooling", type=click.Choice(["cls", "mean"]), default="cls",
              help="State that the classifier reads: [CLS], or the mean of all.")  # fmt: skip
@click.option("--ngram-buckets", type=click.IntRange(0), default=0,
              help="Add a linear head on hashed token n-grams (with --pooling mean).")  # fmt: skip
@click.option("--baseline", is_flag=True, help="Also measure majority and TF-IDF + linear SVM.")
@preparation_options
@recipe_options(TextRecipe)
def text(**options: Any) -> None:
    """Fine-tune a text classifier (Task 1)."""
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from emo_models.data.datasets import read_dataset

    write, everything = _begin(options)
    recipe, tables = take_recipe(TextRecipe, options), _tables(options)
    preparation = take_preparation(options)
    data = read_dataset(tables, allow_leak=options.pop("allow_leak"))
    from emo_models.runs.text import TextRun, run_text

    run = TextRun(**options, preparation=preparation, options=everything)
    metrics = run_text(run, data, recipe, write)
    _print_summary(metrics, options["output"])


@main.command(
    epilog=examples(
        "emo-train fusion --train train.csv --encoder runs/text/checkpoint --output runs/fusion"
    )
)
@_data_options()
@click.option("--encoder", required=True,
              help="Directory or Hub id of a text encoder, or of a text checkpoint.")  # fmt: skip
@click.option("--speech-encoder", type=_FOLDER,
              help="Speech network of `emo-train speech`: its embeddings, adapted to speakers, "
              "replace the mean MFCCs.")  # fmt: skip
@click.option("--audio-folder", type=_FOLDER, help="Folder of the sound files of the tables.")
@click.option("--clips", type=_FILE, multiple=True,
              help="Table of sound with speakers: pairs are then matched by label.")  # fmt: skip
@click.option("--cache", type=_FOLDER, help="Folder for computed audio features.")
@recipe_options(FusionRecipe)
def fusion(**options: Any) -> None:
    """Train the fusion network on sound and text (Task 2)."""
    require_extra("train", "torch", "transformers", "matplotlib", "rich", "safetensors")
    from emo_models.data.datasets import read_dataset

    write, everything = _begin(options)
    recipe, tables = take_recipe(FusionRecipe, options), _tables(options)
    data = read_dataset(
        tables, need_audio=not options["clips"], allow_leak=options.pop("allow_leak")
    )
    from emo_models.data.fusion_data import FusionRun
    from emo_models.runs.fusion import run_fusion

    run = FusionRun(**options, layout=tables.layout, options=everything)
    _print_summary(run_fusion(run, data, recipe, write), options["output"])


@main.command(
    epilog=examples(
        "emo-train speech --train clips.csv --encoder ./whisper-base --output runs/speech"
    )
)
@click.option("--train", type=_FILE, multiple=True, required=True,
              help="Table of clips with file, speaker and label; each is one corpus.")  # fmt: skip
@click.option("--test", type=_FILE, multiple=True, help="Table of clips to report on.")
@table_options()
@click.option("--encoder", help="Directory or Hub id of a Whisper checkpoint.")
@click.option("--from-scratch", is_flag=True,
              help="Train a new encoder (--layers, --width, --heads).")  # fmt: skip
@click.option("--base", help="Hub id of --encoder, where that is a directory: tensors that "
              "training leaves unchanged are then not written.")  # fmt: skip
@click.option("--leave-one-out", is_flag=True,
              help="Also train without each corpus in turn: figures, calibration.")  # fmt: skip
@click.option("--cache", type=_FOLDER, help="Folder for encoded clips.  [default: in --output]")
@click.option("--output", type=_FOLDER, required=True, help="Directory of the run.")
@config_option
@recipe_options(SpeechRecipe)
def speech(**options: Any) -> None:
    """Train a speech network: a Whisper encoder's first layers and a linear head."""
    if (options["encoder"] is None) != options["from_scratch"]:
        raise click.UsageError("give either --encoder or --from-scratch.")
    if options["from_scratch"] and options["base"] is not None:
        raise click.UsageError("--base is the Hub id of --encoder: leave it out.")
    require_extra("train", "torch", "rich", "safetensors")
    write, everything = _begin(options)
    recipe, layout = take_recipe(SpeechRecipe, options), take_layout(options)
    labels = parse_labels(given) if (given := options.pop("labels")) else ()
    options.pop("from_scratch")
    from emo_models.runs.speech import SpeechRun, run_speech

    run = SpeechRun(**options, layout=layout, labels=labels, options=everything)
    metrics = run_speech(run, recipe, write)
    for part in ("leave_one_corpus_out", "test"):
        for condition, corpora in metrics[part].items():
            for corpus, figures in corpora.items():
                scores = ", ".join(f"{n} {figures[n]['macro_f1']:.4f}" for n in ("n=0", "n=5"))
                click.echo(f"{part} {corpus} ({condition}): macro-F1 {scores}")
    for note in metrics["notes"]:
        click.echo(f"Note: {note}.", err=True)
    click.echo(f"wrote {run.output}/checkpoint")


@main.command(
    epilog=examples(
        "emo-train tokenizer --text corpus.txt.xz --vocab-size 8000 --output runs/tokenizer"
    )
)
@click.option("--text", "texts", type=_FILE, multiple=True, required=True,
              help="Plain text, one piece per line; .xz is read too.")  # fmt: skip
@click.option("--vocab-size", type=click.IntRange(100), default=8000, help="Entries.")
@click.option(
    "--positions",
    type=click.IntRange(8),
    default=128,
    help="Positions of the encoder that will use it.",
)
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


@main.command(
    epilog=examples(
        "emo-train pretrain --text corpus.txt.xz --tokenizer runs/tokenizer --output runs/pretrain"
    )
)
@click.option("--text", "texts", type=_FILE, multiple=True, required=True,
              help="Plain text, one piece per line; .xz is read too.")  # fmt: skip
@click.option("--tokenizer", type=_FOLDER, required=True, help="Output of `emo-train tokenizer`.")
@_rows_options(required=False)
@click.option("--output", type=_FOLDER, required=True, help="Directory of the run.")
@config_option
@recipe_options(PretrainRecipe)
def pretrain(**options: Any) -> None:
    """Pretrain a small BERT on plain text, and on the transcripts of --train if given."""
    require_extra("train", "torch", "transformers", "sklearn")
    from emo_models.runs.pretrain import run_pretrain

    write, _ = _begin(options)
    output = options["output"]
    recipe, tables = take_recipe(PretrainRecipe, options), _tables(options)
    metrics = run_pretrain(
        options["texts"], tables, options["tokenizer"], output, recipe, on_ready=write
    )
    click.echo(f"wrote {output}/checkpoint: loss {metrics['last_loss']:.4f}")


@main.command(
    epilog=examples(
        "emo-train compare runs/text runs/text-small",
        "emo-train compare runs/text --bundle ./my-bundle --json",
    )
)
@click.argument("runs", type=_FOLDER, nargs=-1, required=True)
@click.option("--bundle", "bundles", type=_FOLDER, multiple=True,
              help="Bundle of each run, in order: its latency is measured.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def compare(runs: tuple[Path, ...], bundles: tuple[Path, ...], *, as_json: bool) -> None:
    """Compare RUNS on their test sets: parameters, macro-F1 with its interval, latency.

    One line for each run and test set (the validation rows, for a run without --test).
    """
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from rich.console import Console
    from rich.table import Table

    from emo_models.runs.compare import compare_runs

    found = compare_runs(runs, bundles)
    if as_json:
        print_json(found)
        return
    table = Table(title="Macro-F1 over all labels with its 95 % bootstrap interval")
    table.add_column("run", overflow="fold")  # never cut: runs differ at the end
    for name in ("task", "variant", "MFCCs", "parameters", "test set", "labels", "macro-F1"):
        table.add_column(name, overflow="fold")
    table.add_column("macro-F1 without fear")
    table.add_column("latency (ms)")
    for row in found:
        low, high = row["macro_f1_interval"]
        rare = row["macro_f1_without_fear"]
        table.add_row(
            row["run"],
            row["task"],
            row["variant"],
            str(row["n_mfcc"] or ""),
            f"{row['parameters']:,}",
            row["rows"],
            ", ".join(row["labels"]),
            f"{row['macro_f1']:.4f} [{low:.4f}, {high:.4f}]",
            "" if rare is None else f"{rare:.4f}",
            "" if row["latency_ms"] is None else f"{row['latency_ms']:.2f}",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@main.command(
    epilog=examples(
        "emo-train card --text runs/text --fusion runs/fusion --bundle ./bundle --output CARD.md"
    )
)
@click.option("--text", type=_FOLDER, required=True, help="Run of `emo-train text --test`.")
@click.option("--fusion", type=_FOLDER, required=True, help="Run of `emo-train fusion --test`.")
@click.option("--bundle", type=_FOLDER, required=True, help="Output of emo-export for both runs.")
@click.option("--output", type=_FILE, required=True, help="CARD.md to write.")
def card(text: Path, fusion: Path, bundle: Path, output: Path) -> None:
    """Write the card of emo-es-small.

    Its bundle is measured on the test sets of both runs.
    """
    require_extra("train", "torch", "transformers", "sklearn", "matplotlib", "rich", "safetensors")
    from emo_models.small_model.card import check_runs, write_card
    from emo_models.small_model.figures import bundle_figures

    check_runs(text, fusion)
    figures = bundle_figures(bundle, text, fusion, lambda name: click.echo(name, err=True))
    write_card(text, fusion, figures, output)
    click.echo(f"wrote {output}")


main.add_command(distill)
main.add_command(soup)
main.add_command(synthetic)
main.add_command(text_mixture)
main.add_command(trim)


def _begin(options: dict[str, Any]) -> tuple[Callable[[], None], dict[str, Any]]:
    """Return what writes run.toml, and the options that a resumed run must agree with."""
    options.pop("config")
    output: Path = options["output"]
    everything = dict(options)
    compared = {name: value for name, value in everything.items() if name not in _NOT_COMPARED}
    return lambda: write_config(output / "run.toml", everything), compared


def _tables(options: dict[str, Any]) -> Any:
    from emo_models.data.datasets import Tables

    names = ("train", "extra", "exclude", "test", "unseen_test", "videos", "audio_folder")
    return Tables(
        **{name: options.pop(name) for name in names if name in options},
        layout=take_layout(options),
        labels=parse_labels(given) if (given := options.pop("labels", None)) else (),
    )


def _print_summary(metrics: dict[str, Any], output: Path) -> None:
    for name, figures in {"validation": metrics["validation"], **metrics["test"]}.items():
        low, high = figures["macro_f1_interval"]
        rare = ""
        if "macro_f1_without_fear" in figures:
            rare = f", without fear {figures['macro_f1_without_fear']:.4f}"
        click.echo(
            f"{name}: macro-F1 {figures['macro_f1']:.4f} [{low:.4f}, {high:.4f}]{rare}, "
            f"calibration error {figures['calibration_error']:.4f}, {figures['rows']} rows"
        )
    click.echo(f"wrote {output}/checkpoint (best epoch {metrics['best_epoch']})")


if __name__ == "__main__":
    main()
