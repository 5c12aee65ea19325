"""The reference of the commands, generated from click: one page for each script."""

import html
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import click

_PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_MARKUP = {ord(character): f"&#{ord(character)};" for character in "\\`*_[]|~^#"}


def command_pages() -> dict[str, str]:
    """Return the Markdown of the page of each command, by its name."""
    scripts = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["scripts"]
    return {name: _page(name, resolve_name(target)) for name, target in scripts.items()}


def _page(name: str, command: click.Command) -> str:
    head = f"# {name}\n\nGenerated from the command: `{name} --help` prints the same."
    return head + "\n\n" + "\n\n".join(_sections(name, command, None)) + "\n"


def _sections(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    context = command.context_class(
        command, info_name=name, parent=parent, **command.context_settings
    )
    if parent is not None:
        yield f"## {context.command_path}"
    yield from _paragraphs(command.help or "")
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"```text\n{' '.join(usage.split())}\n```"
    if options := list(_options(command, context)):
        yield "\n".join(["| option | meaning |", "|---|---|", *options])
    if command.epilog:
        yield from _paragraphs(command.epilog)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            subcommand = command.get_command(context, each)
            if subcommand is not None and not subcommand.hidden:
                yield from _sections(each, subcommand, context)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).partition("\f")[0].split("\n\n"):
        lines = paragraph.strip().splitlines()
        if lines[:1] == ["\b"]:  # click: the lines are kept as they are
            yield "```text\n" + "\n".join(lines[1:]) + "\n```"
        else:
            yield _text(" ".join(lines))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        is_option = isinstance(parameter, click.Option)
        record = parameter.get_help_record(context) if is_option else None
        if record is not None:
            name, meaning = record
            yield f"| <code>{_text(name)}</code> | {_text(meaning)} |"


def _text(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged, on one line."""
    return html.escape(" ".join(text.split()), quote=False).translate(_MARKUP)
