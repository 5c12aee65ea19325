"""Behaviour shared by all commands: every failure is one line."""

import errno

import click
import pytest
from click.testing import CliRunner

from emo_runtime import BundleError, ClosedError, MissingExtraError, SelfTestError
from emo_runtime.cli.common import Command, bar, require_extra
from emo_runtime.executor import BoundedExecutor


def ended(error):
    @click.command(cls=Command)
    def command():
        raise error

    return CliRunner().invoke(command)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BundleError("a file\n  is missing"), 1, "Error: a file is missing\n"),
        (SelfTestError("other numbers"), 3, "Error: other numbers\n"),
        (OSError(errno.ENOSPC, "No space left", "/full"), 1, "Error: /full: No space left\n"),
        (OSError("something"), 1, "Error: something\n"),
        (PermissionError(errno.EACCES, "Permission denied"), 1, "Error: Permission denied\n"),
    ],
)
def test_failures_are_one_line(error, code, line):
    result = ended(error)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", line)


def test_internal_errors_are_not_hidden():
    assert isinstance(ended(ZeroDivisionError()).exception, ZeroDivisionError)


def test_a_missing_extra_is_named():
    require_extra("test", "click", "numpy")
    with pytest.raises(MissingExtraError, match=r'no_such.*pip install "emo-runtime\[bench\]"'):
        require_extra("bench", "click", "no_such_module_anywhere")


@pytest.mark.parametrize(("share", "filled"), [(0, 0), (0.5, 15), (1, 30)])
def test_bars(share, filled):
    assert len(bar(share)) == 30
    assert sum(letter in "█#" for letter in bar(share)) == filled


def test_a_closed_pool_takes_nothing():
    pool = BoundedExecutor(1, 1)
    assert pool.submit(lambda: 5).result() == 5
    pool.close()
    for _ in range(3):
        with pytest.raises(ClosedError):
            pool.submit(lambda: 5)
