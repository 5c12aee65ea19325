"""``emo-evaluate``: the report on a checkpoint or a bundle, with any labelled table."""

# ruff: noqa: PLC0415  (--help works without torch)

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from emo_runtime.bundle.manifest import PRECISIONS
from emo_runtime.cli.common import Command, print_json, require_extra

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(cls=Command)
@click.argument("model")
@click.option("--data", type=_FILE, required=True, help="CSV with label, and text and/or audio.")
@click.option("--split", default="test", show_default=True, help="Where --data has that column.")
@click.option(
    "--task",
    type=click.Choice(["text", "fusion", "audio"]),
    default="text",
    show_default=True,
    help="What to give the model of each row.",
)
@click.option("--encoder", help="Text encoder of a fusion checkpoint: a directory or a Hub id.")
@click.option("--audio-folder", type=_FOLDER, help="Where the sound files of --data are.")
@click.option("--variant", type=click.Choice(PRECISIONS), help="Of a bundle.")
@click.option("--png", type=_FILE, help="Write the confusion matrix as a picture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(
    *,
    model: str,
    data: Path,
    split: str,
    task: str,
    encoder: str | None,
    audio_folder: Path | None,
    variant: str | None,
    png: Path | None,
    as_json: bool,
) -> None:
    """Report on MODEL: a bundle, a checkpoint directory, or a text classifier's Hub id."""
    require_extra("train", "torch", "transformers", "matplotlib", "rich", "safetensors")
    from emo_models.data.corpora import read_csv
    from emo_models.data.datasets import targets_of
    from emo_models.evaluation.plots import confusion_png
    from emo_models.evaluation.predict import predict
    from emo_models.evaluation.report import check_labels, report
    from emo_models.runs.progress import row_bar

    rows = read_csv(
        data,
        split=split,
        audio_folder=audio_folder,
        need_text=task != "audio",
        need_audio=task != "text",
    )
    with row_bar("rows", len(rows)) as on_row:
        found = predict(
            model,
            rows,
            task,  # type: ignore[arg-type]
            encoder=encoder,
            variant=variant,
            on_row=on_row,
        )
    check_labels(found.labels, model)
    document = report(targets_of(rows), found.probabilities.argmax(axis=1), found.probabilities)
    if png is not None:
        confusion_png(png, document["confusion"], found.labels, f"{task} confusion matrix")
    if as_json:
        print_json({"model": model, "data": str(data), "task": task, **document})
    else:
        _table(document)


def _table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from emo_models.labels import LABELS

    console = Console()
    figures = Table("class", "precision", "recall", "F1", "rows")
    for label, found in document["classes"].items():
        figures.add_row(
            label,
            *(f"{found[name]:.4f}" for name in ("precision", "recall", "f1")),
            str(found["rows"]),
        )
    console.print(figures)
    counts = Table("true \\ predicted", *LABELS)
    for label, row in zip(LABELS, document["confusion"], strict=True):
        counts.add_row(label, *map(str, row))
    console.print(counts)
    for name in ("macro_f1", "macro_f1_without_fear"):
        low, high = document[f"{name}_interval"]
        console.print(f"{name} {document[name]:.4f} [{low:.4f}, {high:.4f}]", highlight=False)
    console.print(
        f"accuracy {document['accuracy']:.4f}  calibration error "
        f"{document['calibration_error']:.4f}  rows {document['rows']}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
