"""Shared by all commands: errors as one line, exit codes, extras, JSON output.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate was not met; 130 and 143: SIGINT, SIGTERM.
"""

import contextlib
import importlib.util
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from emo_runtime.bundle.manifest import PRECISIONS
from emo_runtime.bundle.reader import installed_names
from emo_runtime.errors import EmoError, MissingExtraError, SelfTestError

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """One line on standard error, and exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class GateFailure(Failure):
    """One line on standard error, and exit code 3: a quality gate was not met."""

    exit_code = 3


class Command(click.Command):
    """A click command that reports typed errors as one line, without a traceback."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **_with_short_help(settings))

    def invoke(self, context: click.Context) -> Any:
        """Run the command; EmoError and OSError become a Failure, Ctrl-C exit code 130."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Names with invalid bytes and characters that the terminal lacks are escaped.
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with _cleaning_up_when_terminated():
                return super().invoke(context)
        except SelfTestError as error:
            raise GateFailure(str(error)) from None
        except EmoError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            click.echo("Aborted!", err=True)
            raise SystemExit(128 + signal.SIGINT) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise Failure(f"{where}{error.strerror or error}") from None


class Group(click.Group):
    """A click group of ``Command``."""

    command_class = Command

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **_with_short_help(settings))


class BundlePath(click.Path):
    """A directory, or the name of an installed bundle, which the shell completes."""

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the installed names that start with the incomplete word, then directories."""
        names = [CompletionItem(name) for name in installed_names() if name.startswith(incomplete)]
        return [*names, *super().shell_complete(context, parameter, incomplete)]


def examples(*lines: str) -> str:
    """Return an epilog for ``--help`` with one example on each line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def require_extra(extra: str, *modules: str) -> None:
    """Raise MissingExtraError unless all top-level ``modules`` of an extra are installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"this command needs {missing[0]!r}, which is not installed: "
            f'pip install "emo-runtime[{extra}]"'
        )


def refuse_options(why: str, *names: str) -> None:
    """Raise UsageError, ending with ``why``, if one of these parameters was given."""
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def print_json(document: object) -> None:
    """Print a JSON document on one line; escaped if the terminal can't show its characters."""
    line = json.dumps(document, ensure_ascii=False, allow_nan=False)
    if not _can_be_written(line):
        line = json.dumps(document, allow_nan=False)
    click.echo(line)


def bar(share: float, width: int = 30) -> str:
    """Return a horizontal bar for a share from 0 to 1; ASCII if the terminal needs it."""
    full, rest = ("█", "░") if _can_be_written("█░") else ("#", ".")
    filled = round(share * width)
    return full * filled + rest * (width - filled)


def bundle_argument(function: _Function) -> _Function:
    """Add the option ``--bundle``."""
    return click.option("--bundle", type=BundlePath(), help=_BUNDLE)(function)


def bundle_options(function: _Function) -> _Function:
    """Add the options of commands that open a bundle."""
    function = execution_options(function)
    return click.option(
        "--fallback", is_flag=True, help="Use the CPU if the provider does not attach."
    )(function)


def execution_options(function: _Function) -> _Function:
    """Add the options that say how graphs are run."""
    for option in reversed(
        [
            click.option("--provider", default="auto", show_default=True, help=_PROVIDER),
            click.option(
                "--threads",
                type=click.IntRange(1),
                help="Threads. Default: the cores that the process may use.",
            ),
            click.option(
                "--variant",
                type=click.Choice(PRECISIONS),
                help="Required precision of the text and speech graphs.",
            ),
        ]
    ):
        function = option(function)
    return function


_BUNDLE = "Directory or installed name of a bundle.  [default: emo-es]"
_PROVIDER = "Execution provider: auto, cpu, cuda, tensorrt, openvino, coreml or directml."


def _with_short_help(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a command with ``-h`` besides ``--help``."""
    context = {"help_option_names": ["-h", "--help"], **(settings.get("context_settings") or {})}
    return {**settings, "context_settings": context}


def _can_be_written(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM unwind the command as SIGINT does: temporary files are removed, exit code 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise SystemExit(128 + number)
