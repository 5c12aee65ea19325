"""What every command has in common: errors as one line, exit codes, extras, JSON output.

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

from emo_runtime.bundle.manifest import PRECISIONS
from emo_runtime.errors import EmoError, MissingExtraError, SelfTestError

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Failure(click.ClickException):
    """One line on standard error, and exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class GateFailure(Failure):
    """One line on standard error, and exit code 3: done, but not as good as was asked for."""

    exit_code = 3


class Command(click.Command):
    """A click command whose typed errors end as one line, never as a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command; EmoError and OSError become a Failure, Ctrl-C exit code 130."""
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A name that is no text, or a letter that the terminal lacks, ends no command.
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
    """A click group of such commands."""

    command_class = Command


def require_extra(extra: str, *modules: str) -> None:
    """Raise MissingExtraError unless all the top-level ``modules`` of an extra are installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"this command needs {missing[0]!r}, which is not installed: "
            f'pip install "emo-runtime[{extra}]"'
        )


def refuse_options(why: str, *names: str) -> None:
    """Raise UsageError, which ends with ``why``, where one of these parameters was given."""
    context = click.get_current_context()
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not ParameterSource.DEFAULT:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def print_json(document: object) -> None:
    """One JSON document on standard output, on one line; escaped where it can't be written."""
    line = json.dumps(document, ensure_ascii=False, allow_nan=False)
    if not _can_be_written(line):
        line = json.dumps(document, allow_nan=False)
    click.echo(line)


def bar(share: float, width: int = 30) -> str:
    """A horizontal bar for a share from 0 to 1; plain ASCII where the terminal can't do more."""
    full, rest = ("█", "░") if _can_be_written("█░") else ("#", ".")
    filled = round(share * width)
    return full * filled + rest * (width - filled)


def bundle_options(function: _Function) -> _Function:
    """The options of every command that opens a bundle."""
    for option in reversed(
        [
            click.option("--provider", default="auto", show_default=True, help=_PROVIDER),
            click.option("--fallback", is_flag=True, help="Allow the move to the CPU."),
            click.option("--threads", type=click.IntRange(1), help="Default: the usable cores."),
            click.option(
                "--variant",
                type=click.Choice(PRECISIONS),
                help="Insist on a precision of the text graphs.",
            ),
        ]
    ):
        function = option(function)
    return function


_PROVIDER = "auto, cpu, cuda, tensorrt, openvino, coreml or directml."


def _can_be_written(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _cleaning_up_when_terminated() -> Iterator[None]:
    """SIGTERM unwinds the command as SIGINT does: half-written files go, exit code 143."""
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
