"""The options of ``EmotionRecognizer.open``, checked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from emo_runtime.arguments import (
    check_callable,
    check_count,
    check_flag,
    check_number,
    check_path,
    shown,
)
from emo_runtime.bundle.manifest import PRECISIONS, Precision, TaskName
from emo_runtime.errors import ArgumentError, EmoError, ProviderError
from emo_runtime.result import Answer

Mode = Literal["latency", "throughput"]
MAX_WAITING = 1_000_000


@dataclass(frozen=True)
class OpenOptions:
    """Arguments of ``open``, kept to open a pickled recognizer again."""

    bundle: str | None
    public_key: str | None
    providers: str | tuple[str, ...]
    fallback: bool
    threads: int | None
    mode: Mode
    spin: bool
    huge_pages: bool
    variant: Precision | None
    tasks: tuple[TaskName, ...] | None
    max_duration_s: float
    max_waiting: int
    min_confidence: float
    on_answer: Callable[[Answer], object] | None
    on_error: Callable[[EmoError], object] | None

    @classmethod
    def checked(cls, **values: Any) -> "OpenOptions":
        """Return the options. Raises ArgumentError, ProviderError."""
        if not isinstance(values["mode"], str) or values["mode"] not in get_args(Mode):
            raise ProviderError(
                f"mode {shown(values['mode'])} is unknown. Use 'latency' or 'throughput'."
            )
        variant = values["variant"]
        if variant is not None and not (isinstance(variant, str) and variant in PRECISIONS):
            raise ArgumentError(f"variant={shown(variant)}: give one of {', '.join(PRECISIONS)}.")
        for name in ("fallback", "spin", "huge_pages"):
            values[name] = check_flag(name, values[name])
        for name in ("on_answer", "on_error"):
            check_callable(name, values[name])
        for name in ("bundle", "public_key"):
            values[name] = check_path(name, values[name])
        values["providers"] = _provider_names(values["providers"])
        values["tasks"] = _task_names(values["tasks"])
        values["max_duration_s"] = check_number(
            "max_duration_s", values["max_duration_s"], low=0, above=True
        )
        values["max_waiting"] = check_count(
            "max_waiting", values["max_waiting"], low=0, high=MAX_WAITING
        )
        values["min_confidence"] = check_number(
            "min_confidence", values["min_confidence"], low=0, high=1
        )
        return cls(**values)


def _provider_names(providers: Any) -> str | tuple[str, ...]:
    if isinstance(providers, str):
        return providers
    if isinstance(providers, list | tuple) and all(isinstance(name, str) for name in providers):
        return tuple(providers)
    raise ArgumentError(
        f"providers={shown(providers)}: give a name such as 'cpu', or a list of names."
    )


def _task_names(tasks: Any) -> tuple[TaskName, ...] | None:
    if tasks is None:
        return None
    names = (tasks,) if isinstance(tasks, str) else tasks
    if isinstance(names, Iterable) and not isinstance(names, Mapping | bytes):
        try:
            chosen = tuple(names)
        except TypeError:  # such as an array of no dimension
            chosen = ()
        if chosen and all(isinstance(name, str) for name in chosen):
            return cast("tuple[TaskName, ...]", chosen)
    raise ArgumentError(f"tasks={shown(tasks)}: give names of tasks, such as ['text', 'fusion'].")
