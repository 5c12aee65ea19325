"""All commands: help with examples that fit the options, one meaning for each shared option."""

import re
import shlex
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

import emo_bench.cli
import emo_export.cli
import emo_models.cli.evaluate
import emo_models.cli.train
import emo_runtime.cli.bundle
import emo_runtime.cli.doctor
import emo_runtime.cli.predict
import emo_runtime.cli.runtime
import emo_serving.cli
from helpers.processes import run_python

COMMANDS = {
    "emo-runtime": emo_runtime.cli.runtime.main,
    "emo-doctor": emo_runtime.cli.doctor.main,
    "emo-predict": emo_runtime.cli.predict.main,
    "emo-bundle": emo_runtime.cli.bundle.main,
    "emo-train": emo_models.cli.train.main,
    "emo-evaluate": emo_models.cli.evaluate.main,
    "emo-export": emo_export.cli.main,
    "emo-bench": emo_bench.cli.main,
    "emo-serve": emo_serving.cli.main,
}
# The same option means the same everywhere; these differ for a reason.
OWN_MEANING = {
    ("emo-serve", "--bundle"): "with --ray it may be a URI",
    ("emo-doctor", "--bundle"): "besides the installed bundles",
    ("emo-train compare", "--bundle"): "one for each run",
    ("emo-train card", "--bundle"): "the exported bundle of both runs",
}


def walk(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, item in command.commands.items():
            yield from walk(f"{name} {child}", item)


ALL = dict(pair for name, command in COMMANDS.items() for pair in walk(name, command))


def examples_of(command: click.Command) -> list[str]:
    block = re.search(r"Examples:\n((?:  .+\n?)+)", command.epilog or "")
    return [] if block is None else [line.strip() for line in block[1].splitlines()]


def parse(line: str) -> None:
    """Parse the words of a command line as click does, without running it."""
    words = shlex.split(line.partition(" > ")[0])
    while words[0] in {"uvx", "pipx", "run"}:
        words.pop(0)
    name = words.pop(0)
    command: click.Command = COMMANDS[name]
    context = click.Context(command, info_name=name, **command.context_settings)
    while isinstance(command, click.Group):
        if isinstance(command, emo_bench.cli._RunByDefault) and (
            not words or words[0].startswith("-")
        ):
            words.insert(0, "run")
        if not words or words == ["--help"]:
            return
        found, child, words = command.resolve_command(context, words)
        context = click.Context(child, context, found, **child.context_settings)
        command = child
    if words == ["--help"]:
        return
    # Values are not checked: the files of the examples do not exist.
    values, rest, _ = command.make_parser(context).parse_args(args=list(words))
    assert not rest, line
    for parameter in command.params:
        if parameter.required:
            assert parameter.name in values, f"{line}: {parameter.name} is missing"


@pytest.mark.parametrize("name", ALL)
def test_help_has_examples_of_the_command_that_parse(name: str) -> None:
    lines = examples_of(ALL[name])
    assert lines, "give the command examples (epilog)"
    for line in lines:
        assert name in line
        parse(line)


def test_an_example_with_a_wrong_option_is_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parse("emo-predict --txt hola")
    with pytest.raises(click.UsageError):
        parse("emo-bundle verfy emo-es")


@pytest.mark.parametrize("name", ALL)
def test_help_lists_every_option_with_its_meaning(name: str) -> None:
    command = ALL[name]
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{name} {option.opts[0]} has no help"
    result = CliRunner().invoke(COMMANDS[name.split()[0]], [*name.split()[1:], "-h"])
    assert result.exit_code == 0
    assert "Examples:" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_version(name: str) -> None:
    result = CliRunner().invoke(COMMANDS[name], ["--version"])
    assert result.exit_code == 0
    assert re.search(r"\d+\.\d+", result.stdout)


@pytest.mark.parametrize(
    "option", ["--bundle", "--provider", "--fallback", "--threads", "--variant", "--version"]
)
def test_a_shared_option_is_the_same_everywhere(option: str) -> None:
    found = {
        name: (item.help, type(item.type).__name__, item.multiple, str(item.default))
        for name, command in ALL.items()
        for item in command.params
        if option in item.opts and (name, option) not in OWN_MEANING
    }
    if option == "--variant":
        found.pop("emo-train fusion")  # of the network
    assert len(found) > 1
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("name", [name for name in ALL if "--json" in str(ALL[name].params)])
def test_json_is_a_flag(name: str) -> None:
    [option] = [item for item in ALL[name].params if "--json" in item.opts]
    assert isinstance(option, click.Option)
    assert option.is_flag


MISTYPED = [
    ("emo-predict", ["--txt", "hola"], "--text"),
    ("emo-bundle", ["verfy"], "verify"),
    ("emo-train", ["fusoin"], "fusion"),
    ("emo-bench", ["comapre", "a", "b"], "compare"),
    ("emo-bench", ["--scenari", "SingleStream"], "--scenario"),
    ("emo-predict", ["--bundle", "emo-es-smal", "--text", "hola"], "emo-es-small"),
    ("emo-bundle", ["verify", "emo_es_research"], "emo-es-research"),
    ("emo-predict", ["--provider", "openvin", "--text", "hola"], "openvino"),
    ("emo-runtime", ["--bundle", "emoes", "hola"], "emo-es"),
]


@pytest.mark.parametrize(("name", "arguments", "meant"), MISTYPED)
def test_mistyped_words_are_answered_with_a_suggestion(
    name: str, arguments: list[str], meant: str
) -> None:
    result = CliRunner().invoke(COMMANDS[name], arguments)
    assert result.exit_code in {1, 2}
    assert "Did you mean" in result.stderr
    assert f"'{meant}'" in result.stderr


def complete(command: str, words: str) -> list[str]:
    """Return what click offers to bash for the last word of a command line."""
    module = COMMANDS[command].callback.__module__
    variable = f"_{command}_COMPLETE".replace("-", "_").upper()
    code = f"from {module} import main; main(prog_name={command!r})"
    done = run_python(
        "-c",
        code,
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
        **{variable: "bash_complete"},
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_the_shell_completes_options_and_installed_bundles() -> None:
    assert "--text-column" in complete("emo-predict", "emo-predict --text-")
    assert complete("emo-predict", "emo-predict --bundle emo-es-s")[0] == "emo-es-small"
    assert complete("emo-bundle", "emo-bundle ver") == ["verify"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_no_color_removes_colours_of_tables(tmp_path) -> None:
    """With NO_COLOR a terminal gets no colour, as https://no-color.org asks for."""
    code = (
        "import io, sys\n"
        "from emo_bench.report.console import Console\n"
        "stream = io.StringIO()\n"
        "console = Console(file=stream, force_terminal=True)\n"
        "console.print('! remark', style='yellow')\n"
        "sys.stdout.write(repr(stream.getvalue()))\n"
    )
    coloured = re.compile(r"\\x1b\[\d*3\dm")
    terminal = {"TERM": "xterm-256color", "COLORTERM": None, "FORCE_COLOR": None}
    assert coloured.search(run_python("-c", code, NO_COLOR=None, **terminal).stdout)
    assert not coloured.search(run_python("-c", code, NO_COLOR="1", **terminal).stdout)
