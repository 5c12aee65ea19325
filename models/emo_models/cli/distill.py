"""``emo-train distill``: train a small network on the answers of a bundle."""

# ruff: noqa: PLC0415  (a command imports what it needs: --help works without torch)

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from emo_models.cli.options import table_options, take_layout
from emo_models.errors import DataError
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.cli.common import Command, examples, require_extra

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_TASKS: dict[str, TaskName] = {"text": "text", "speech": "audio", "fusion": "fusion"}


@click.command(
    epilog=examples(
        "emo-train distill --teacher emo-es --data calls.csv --student s.toml --output small"
    ),
    cls=Command,
)
@click.option("--teacher", required=True,
              help="Directory of a bundle, or the name of an installed one.")  # fmt: skip
@click.option("--data", type=_FILE, multiple=True, required=True,
              help="Table of rows to label, with text and/or audio; may be repeated.")  # fmt: skip
@click.option("--student", type=_FILE, required=True,
              help="TOML file: recipe = \"text\", \"speech\" or \"fusion\", and options of that "
              "command. Its tables of --train are added to the labelled rows.")  # fmt: skip
@click.option("--task", type=click.Choice(sorted(set(_TASKS.values()))),
              help="Task of the teacher.  [default: text, audio for speech, fusion]")  # fmt: skip
@click.option("--output", type=_FOLDER, required=True, help="Directory of the run.")
@table_options(labels=False)
@click.pass_context
def distill(context: click.Context, /, output: Path, **options: Any) -> None:
    """Train a small network on the probabilities that a bundle gives to unlabelled rows.

    The probabilities are written to OUTPUT/soft_labels.csv and are read from there when the same
    command is given again.
    """
    require_extra("train", "torch", "transformers", "rich", "safetensors")
    recipe, arguments = _student(options["student"])
    from emo_models.evaluation.bundle import find_bundle
    from emo_models.runs.distill import SOFT_LABELS, read_unlabelled, write_soft_labels
    from emo_models.runs.progress import row_bar

    teacher = find_bundle(options["teacher"]) or Path(options["teacher"])
    chosen: TaskName = options["task"] or _TASKS[recipe]
    rows = read_unlabelled(options["data"], chosen, take_layout(options))
    with row_bar("teacher", len(rows)) as on_row:
        labels = write_soft_labels(teacher, rows, chosen, output, on_row)
    click.echo(f"wrote {output / SOFT_LABELS}: {len(rows)} rows")
    group = context.parent.command if context.parent else None
    if not isinstance(group, click.Group):
        raise DataError("distill is a command of emo-train.")
    command = group.commands[recipe]
    arguments = [
        *("--train", str(output / SOFT_LABELS), "--labels", ",".join(labels)),
        *("--output", str(output)),
        *arguments,
    ]
    command.main(arguments, prog_name=f"emo-train {recipe}", standalone_mode=False)


def _student(path: Path) -> tuple[str, list[str]]:
    """Return the recipe of a student and its options as arguments.

    Raises:
        DataError: not a TOML file, or no recipe.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a TOML file: {error}") from None
    recipe = document.pop("recipe", None)
    if recipe not in _TASKS:
        raise DataError(f"{path}: recipe is {recipe!r}; expected one of: {', '.join(_TASKS)}.")
    if reserved := sorted({"output", "labels"} & set(document)):
        raise DataError(f"{path}: {', '.join(reserved)} is set by emo-train distill. Remove it.")
    arguments: list[str] = []
    for name, value in document.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
            continue
        for item in value if isinstance(value, list) else [value]:
            arguments += [f"--{option}", str(item)]
    return recipe, arguments
