"""``emo-evaluate``: report on a checkpoint or a bundle with any labelled table."""

# ruff: noqa: PLC0415  (--help works without torch)

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from emo_models.cli.options import table_options, take_layout
from emo_runtime.bundle.manifest import PRECISIONS, TaskName
from emo_runtime.cli.common import Command, examples, print_json, require_extra

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(
    epilog=examples(
        "emo-evaluate emo-es --data test.csv",
        "emo-evaluate runs/text/checkpoint --data test.csv --png confusion.png",
        "emo-evaluate emo-es --data test.csv --task fusion --audio-folder audio --json",
    ),
    cls=Command,
)
@click.version_option(package_name="emo-runtime")
@click.argument("model")
@click.option("--data", type=_FILE, required=True, help="Table with label, and text and/or audio.")
@click.option("--split", default="test", show_default=True, help="Split to read, where --data has "
              "a column split.")  # fmt: skip
@click.option(
    "--task",
    type=click.Choice(["text", "fusion", "audio"]),
    default="text",
    show_default=True,
    help="Inputs that the model gets of each row.",
)
@click.option("--encoder", help="Text encoder of a fusion checkpoint: a directory or a Hub id.")
@click.option("--audio-folder", type=_FOLDER, help="Folder of the sound files of --data.")
@click.option("--variant", type=click.Choice(PRECISIONS),
              help="Required precision of the text and speech graphs.")  # fmt: skip
@table_options(labels=False, separator=True)
@click.option("--png", type=_FILE, help="Write the confusion matrix as a picture.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
def main(*, model: str, data: Path, task: TaskName, as_json: bool, **options: Any) -> None:
    """Report on MODEL: a bundle (directory or installed name), a checkpoint, or a Hub id.

    The labels of --data must be labels of the model; their case and accents may differ. A
    multi-label model predicts every label whose probability is at least 0.5. A bundle is evaluated
    by the runtime, without PyTorch.
    """
    require_extra("evaluate", "matplotlib", "rich")
    from emo_models.data.corpora import Needs, read_csv
    from emo_models.errors import DataError
    from emo_models.evaluation.bundle import find_bundle, predict_bundle

    bundle = find_bundle(model)
    if bundle is None:
        require_extra("train", "torch", "transformers", "safetensors")
    layout = take_layout(options)
    rows = read_csv(
        data,
        split=options["split"],
        audio_folder=options["audio_folder"],
        needs=Needs(text=task != "audio", audio=task != "text"),
        layout=layout,
    )
    from emo_models.evaluation.judge import Judge
    from emo_models.evaluation.plots import confusion_png
    from emo_models.runs.progress import row_bar

    with row_bar("rows", len(rows)) as on_row:
        if bundle is not None:
            found = predict_bundle(bundle, rows, task, variant=options["variant"], on_row=on_row)
        else:
            from emo_models.evaluation.predict import predict

            found = predict(
                model,
                rows,
                task,
                encoder=options["encoder"],
                variant=options["variant"],
                on_row=on_row,
            )
    if layout.label_separator is not None and not found.multi_label:
        raise DataError(
            f"{model}: gives one label for each text, so --label-separator can't be used."
        )
    judge = Judge(found.labels, found.multi_label)
    document = judge.of_probabilities(judge.targets(rows), found.probabilities)
    if options["png"] is not None and found.multi_label:
        raise DataError(f"{model}: a multi-label model has no confusion matrix. Leave --png out.")
    if options["png"] is not None:
        confusion_png(
            options["png"], document["confusion"], found.labels, f"{task} confusion matrix"
        )
    if as_json:
        print_json({"model": model, "data": str(data), "task": task, **document})
    else:
        _table(document)


def _table(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    figures = Table("class", "precision", "recall", "F1", "rows")
    for label, found in document["classes"].items():
        figures.add_row(
            label,
            *(f"{found[name]:.4f}" for name in ("precision", "recall", "f1")),
            str(found["rows"]),
        )
    console.print(figures)
    if "confusion" in document:
        counts = Table("true \\ predicted", *document["classes"])
        for label, row in zip(document["classes"], document["confusion"], strict=True):
            counts.add_row(label, *map(str, row))
        console.print(counts)
    for name in ("macro_f1", "macro_f1_without_fear"):
        if name in document:
            low, high = document[f"{name}_interval"]
            console.print(f"{name} {document[name]:.4f} [{low:.4f}, {high:.4f}]", highlight=False)
    if "micro_f1" in document:
        console.print(f"micro_f1 {document['micro_f1']:.4f}", highlight=False)
    exact = " of whole label sets" if document.get("multi_label") else ""
    console.print(
        f"accuracy{exact} {document['accuracy']:.4f}  calibration error "
        f"{document['calibration_error']:.4f}  rows {document['rows']}",
        highlight=False,
    )


if __name__ == "__main__":
    main()
