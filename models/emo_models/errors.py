"""Errors about training data and checkpoints."""

from __future__ import annotations

from emo_runtime.errors import EmoError


class DataError(EmoError):
    """Training or evaluation data that is missing, malformed or leaks; names file and row."""


class CheckpointError(EmoError):
    """A checkpoint directory that is missing, incomplete or of another kind."""
