"""Errors about training data and checkpoints."""

from __future__ import annotations

from emo_runtime.errors import EmoError


class DataError(EmoError):
    """Training or evaluation data that is missing, malformed or leaks; names file and row."""


class CheckpointError(EmoError):
    """A checkpoint directory that is missing, incomplete or of another kind."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its class if there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def one_line(error: BaseException) -> str:
    """Return an error's message without line breaks, cut at 300 characters."""
    return " ".join(str(error).split())[:300]
