"""Command-line options of recipes and tables, and TOML files of options; imports no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from emo_models.atomic import atomic_text
from emo_models.data.corpora import TableFormat
from emo_models.labels import parse_label_map
from emo_runtime.bundle.text_preparation import RULES, TextPreparation
from emo_runtime.errors import EmoError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Recipe = TypeVar("_Recipe")

_NOT_WRITTEN = ("config",)
_RANGE = ("min", "max", "min_open", "max_open")


def recipe_options(recipe: type[Any]) -> Callable[[_Function], _Function]:
    """Add one option per field of a recipe, with the field's default, range and help."""

    def decorate(function: _Function) -> _Function:
        for entry in reversed(fields(recipe)):
            name = entry.name.replace("_", "-")
            is_flag = isinstance(entry.default, bool)
            function = click.option(
                f"--{name}/--no-{name}" if is_flag else f"--{name}",
                entry.name,
                type=_type(entry.default, entry.metadata),
                default=entry.default,
                show_default=True,
                help=entry.metadata.get("help"),
            )(function)
        return function

    return decorate


def take_recipe(recipe: type[_Recipe], options: dict[str, Any]) -> _Recipe:
    """Take the options of ``recipe_options`` out of ``options`` and return their recipe."""
    names = [entry.name for entry in fields(recipe)]  # type: ignore[arg-type]
    return recipe(**{name: options.pop(name) for name in names})


def config_option(function: _Function) -> _Function:
    """Add ``--config FILE.toml``: values for options that are not on the command line."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        is_eager=True,
        callback=_read_config,
        help="TOML file with any of these options, such as the run.toml of another run. Relative "
        "paths in it start at the working directory.",
    )(function)


def table_options(
    *, labels: bool = True, separator: bool = False
) -> Callable[[_Function], _Function]:
    """Add the options for reading tables.

    Args:
        labels: add the option for the label set.
        separator: add the option for tables with several labels in a row.
    """

    def decorate(function: _Function) -> _Function:
        options = [
            click.option("--text-column", help="Column of the transcript.  [default: text, "
                         "transcription or transcript]"),
            click.option("--label-column", help="Column of the label.  [default: label]"),
            click.option("--id-column", help="Column of the id.  [default: id, filename, file or "
                         "audio; without one, file and row]"),
            click.option("--delimiter", help="Delimiter of the tables.  [default: detected]"),
            click.option("--encoding", help="Encoding of the tables.  [default: detected]"),
            click.option("--label-map", help="Translate labels of the tables: "
                         "enojo=anger,alegría=joy."),
        ]  # fmt: skip
        if labels:
            options.append(
                click.option("--labels", help="Label set and order: anger,joy,neutral.  [default: "
                             "the labels of the training rows, sorted]")
            )  # fmt: skip
        if separator:
            options.append(
                click.option("--label-separator", callback=_check_separator,
                             help="Separator of several labels in a cell, such as | in "
                             "anger|sadness: a multi-label classifier. The separator alone: none "
                             "of the labels.")
            )  # fmt: skip
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _check_separator(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    del context
    if value is not None and (not value.strip() or any(c.isalnum() for c in value)):
        raise click.BadParameter(
            f"{value!r} is empty or has letters or digits. Example: --label-separator '|'.",
            param=parameter,
        )
    return value


def preparation_options(function: _Function) -> _Function:
    """Add ``--lowercase`` and ``--replace RULE``: changes to transcripts before the tokenizer."""
    function = click.option(
        "--replace",
        multiple=True,
        type=click.Choice(["all", *RULES]),
        help="Replace in transcripts; may be repeated. all: as models of social media expect "
        "(RoBERTuito).",
    )(function)
    return click.option("--lowercase", is_flag=True, help="Convert transcripts to lower case.")(
        function
    )


def take_preparation(options: dict[str, Any]) -> TextPreparation:
    """Take the options of ``preparation_options`` out of ``options``."""
    rules = options.pop("replace")
    chosen = RULES if "all" in rules else tuple(rule for rule in RULES if rule in rules)
    return TextPreparation(lowercase=options.pop("lowercase"), replace=chosen)


def take_layout(options: dict[str, Any]) -> TableFormat:
    """Take the options of ``table_options`` (except the label set) out of ``options``."""
    names = ("text_column", "label_column", "id_column", "delimiter", "encoding")
    given = {name: options.pop(name) for name in names}
    given["label_separator"] = options.pop("label_separator", None)
    return TableFormat(**given, label_map=parse_label_map(options.pop("label_map") or ""))


def write_config(path: Path, parameters: Mapping[str, Any]) -> None:
    """Write all options of a run to a file that ``--config`` reads."""
    lines = [
        f"{name} = {_toml(value)}"
        for name, value in sorted(parameters.items())
        if value is not None and name not in _NOT_WRITTEN
    ]
    atomic_text(path, "\n".join(lines) + "\n")


def _read_config(
    context: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    if path is None:
        return None
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: not a TOML file: {error}", param=parameter) from None
    except OSError as error:
        raise EmoError(f"{path}: can't be read: {error.strerror}") from None
    known = {option.name for option in context.command.params} - {"config"}
    if unknown := sorted(set(document) - known):
        raise click.BadParameter(
            f"{path}: no such option: {', '.join(unknown)}. Known: "
            f"{', '.join(sorted(name for name in known if name))}.",
            param=parameter,
        )
    context.default_map = {**(context.default_map or {}), **document}
    return path


def _type(default: Any, metadata: Mapping[str, Any]) -> Any:
    bounds = {name: metadata[name] for name in _RANGE if name in metadata}
    if "choices" in metadata:
        return click.Choice(metadata["choices"])
    if bounds:
        return (click.IntRange if isinstance(default, int) else click.FloatRange)(**bounds)
    return type(default)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return _toml_string(str(value))


def _toml_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    )
