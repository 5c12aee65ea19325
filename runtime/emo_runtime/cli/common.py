"""What every command has in common: errors as one line, exit codes, extras, JSON output.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a gate was not met.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from emo_runtime.errors import EmoError, MissingExtraError, SelfTestError
from emo_runtime.manifest import PRECISIONS

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
        """Run the command; EmoError and OSError become a Failure."""
        try:
            return super().invoke(context)
        except SelfTestError as error:
            raise GateFailure(str(error)) from None
        except EmoError as error:
            raise Failure(str(error)) from None
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


def print_json(document: object) -> None:
    """One JSON document on standard output, on one line."""
    click.echo(json.dumps(document, ensure_ascii=not _speaks_unicode(), allow_nan=False))


def bar(share: float, width: int = 30) -> str:
    """A horizontal bar for a share from 0 to 1; plain ASCII where the terminal can't do more."""
    full, rest = ("█", "░") if _speaks_unicode() else ("#", ".")
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


def _speaks_unicode() -> bool:
    try:
        "█░".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
