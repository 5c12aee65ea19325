"""Options made from recipes, and runs described by a TOML file. No torch here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from emo_models.atomic import atomic_text
from emo_runtime.errors import EmoError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Recipe = TypeVar("_Recipe")

_NOT_WRITTEN = ("config",)


def recipe_options(recipe: type[Any]) -> Callable[[_Function], _Function]:
    """One option per field of a recipe, with the field's default and help."""

    def decorate(function: _Function) -> _Function:
        for entry in reversed(fields(recipe)):
            choices = entry.metadata.get("choices")
            name = entry.name.replace("_", "-")
            is_flag = isinstance(entry.default, bool)
            function = click.option(
                f"--{name}/--no-{name}" if is_flag else f"--{name}",
                entry.name,
                type=click.Choice(choices) if choices else type(entry.default),
                default=entry.default,
                show_default=True,
                help=entry.metadata.get("help"),
            )(function)
        return function

    return decorate


def take_recipe(recipe: type[_Recipe], options: dict[str, Any]) -> _Recipe:
    """The recipe that the options of ``recipe_options`` make; they are taken out of ``options``."""
    names = [entry.name for entry in fields(recipe)]  # type: ignore[arg-type]
    return recipe(**{name: options.pop(name) for name in names})


def config_option(function: _Function) -> _Function:
    """``--config FILE.toml``: values for the options that are not given on the command line."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        is_eager=True,
        callback=_read_config,
        help="TOML file with any of these options (as every run writes it: run.toml). Relative "
        "paths in it are from the working directory.",
    )(function)


def write_config(path: Path, parameters: Mapping[str, Any]) -> None:
    """Write the options of a run whole, so that ``--config`` repeats it."""
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
