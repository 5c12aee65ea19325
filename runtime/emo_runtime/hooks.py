"""User callbacks for every answer and every error."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from emo_runtime.errors import EmoError
from emo_runtime.result import Answer

logger = logging.getLogger("emo_runtime")


@dataclass(frozen=True)
class Hooks:
    """Calls ``on_answer`` and ``on_error``; exceptions in them are logged and suppressed."""

    on_answer: Callable[[Answer], object] | None = None
    on_error: Callable[[EmoError], object] | None = None

    def answer(self, answer: Answer) -> None:
        """Report an answer."""
        _call("on_answer", self.on_answer, answer)

    def error(self, error: EmoError) -> None:
        """Report an error."""
        _call("on_error", self.on_error, error)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Report an EmoError that is raised in the block."""
        try:
            yield
        except EmoError as error:
            self.error(error)
            raise


def _call(name: str, hook: Callable[[Any], object] | None, argument: object) -> None:
    if hook is not None:
        try:
            hook(argument)
        except Exception:
            logger.exception("%s raised an exception", name)
