"""Engines by name: ours, a sleeper of known habits for tests, and the rivals."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from emo_bench.engine import EmoEngine, Engine
from emo_runtime.errors import EmoError

OURS = "emo"


@dataclass(frozen=True)
class Rival:
    """Where a rival lives, and which modules it needs."""

    module: str
    needs: tuple[str, ...]
    what: str


RIVALS: dict[str, Rival] = {}


def open_engine(name: str, options: dict[str, Any]) -> Engine:
    """Open an engine by its name. Raises EmoError where it is not known or not installed."""
    if name == OURS:
        return EmoEngine(**options)
    if name == "sleeper":
        return importlib.import_module("emo_bench.sleeper").open_engine(**options)  # type: ignore[no-any-return]
    rival = RIVALS.get(name)
    if rival is None:
        raise EmoError(f"the engine {name!r} is not known.")
    if gap := missing(name):
        raise EmoError(gap)
    module = importlib.import_module(rival.module)
    return module.open_engine(**options)  # type: ignore[no-any-return]


def missing(name: str) -> str | None:
    """Why a rival can't be measured here, or None."""
    for module in RIVALS[name].needs:
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed"
    return None
