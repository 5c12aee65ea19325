"""Argument checks that raise ``ArgumentError`` with the accepted types and values."""

import difflib
import math
import numbers
import os
from collections.abc import Iterable
from typing import Any

from emo_runtime.errors import ArgumentError

_MAX_SHOWN = 40


def check_number(
    name: str, value: Any, *, low: float, high: float = math.inf, above: bool = False
) -> float:
    """Return a finite number from ``low`` (or ``above`` it) to ``high``."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        in_range = low < number if above else low <= number
        if in_range and number <= high and (math.isfinite(number) or number == high):
            return number
    limits = f"above {low:g}" if above else f"of at least {low:g}"
    if high < math.inf:
        limits += f" and at most {high:g}"
    raise ArgumentError(f"{name}={shown(value)}: give a number {limits}.")


def check_count(name: str, value: Any, *, low: int, high: int) -> int:
    """Return a whole number from ``low`` to ``high``."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        count = int(value)
        if low <= count <= high:
            return count
    raise ArgumentError(f"{name}={shown(value)}: give a whole number from {low:,} to {high:,}.")


def check_flag(name: str, value: Any) -> bool:
    """Return True or False; 1 and 0 are accepted."""
    if isinstance(value, numbers.Integral) and value in {0, 1}:
        return bool(value)
    raise ArgumentError(f"{name}={shown(value)}: give True or False.")


def check_path(name: str, value: Any) -> str | None:
    """Return a path as a string; None stays None."""
    if value is None:
        return None
    if isinstance(value, str | os.PathLike):
        path = os.fspath(value)
        if isinstance(path, str) and "\0" not in path:
            return path
    raise ArgumentError(f"{name} is of type {type(value).__name__:.40}. Give a path as a string.")


def check_callable(name: str, value: Any) -> None:
    """Accept a callable or None."""
    if value is not None and not callable(value):
        raise ArgumentError(f"{name} is of type {type(value).__name__:.40}. Give a function.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest known name, or an empty string."""
    by_folded = {item.casefold().replace("_", "-"): item for item in known}
    folded = name[:_MAX_SHOWN].casefold().replace("_", "-")
    close = difflib.get_close_matches(folded, by_folded, n=1)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""


def shown(value: Any) -> str:
    """Return a short form of a value for a message: numbers and short strings, else the type."""
    if isinstance(value, numbers.Real) or value is None:
        return f"{value!r:.{_MAX_SHOWN}}"
    if isinstance(value, str) and len(value) <= _MAX_SHOWN:
        return repr(value)
    return f"<{type(value).__name__:.{_MAX_SHOWN}}>"
