"""Check of a tokenizer.json before the tokenizers library runs it.

A regular expression that backtracks makes the library panic (seen with ``(a+)+$``), and repeated
replacements that make the text longer exhaust the memory. Tokenizers of encoders need neither.
"""

import re
from typing import Any, NoReturn

import msgspec

from emo_runtime.errors import BundleError

MAX_STEPS = 256
# One character, escape or class, repeated or not: matched in linear time.
_LINEAR = re.compile(
    r"(?:[^\\\[\](){}*+?|^$.]|\\\D|\[\^?(?:[^\\\[\]]|\\\D)+\])(?:[*+?]|\{\d*,?\d*\})?"
)
_GROWING = frozenset({"Replace", "Prepend", "Append"})


class _Steps(msgspec.Struct):
    """The parts of a tokenizer.json that change a text."""

    normalizer: Any = None
    pre_tokenizer: Any = None
    post_processor: Any = None


def check_tokenizer(data: bytes, name: str) -> None:
    """Raise BundleError if a tokenizer.json could need unbounded time or memory.

    Data that is not JSON is accepted here: the tokenizers library refuses it.
    """
    try:
        steps = msgspec.json.decode(data, type=_Steps)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    except RecursionError:
        _refuse(name, "it is nested too deeply")
    seen = 0
    waiting: list[Any] = [steps.normalizer, steps.pre_tokenizer, steps.post_processor]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        if not isinstance(part, dict):
            continue
        seen += 1
        if seen > MAX_STEPS:
            _refuse(name, f"it has more than {MAX_STEPS} steps")
        _check_step(part, name)
        waiting += part.values()


def _check_step(step: dict[str, Any], name: str) -> None:
    pattern = step.get("Regex")
    if isinstance(pattern, str) and not _LINEAR.fullmatch(pattern):
        _refuse(name, f"its pattern {pattern[:80]!r} may need unbounded time")
    kind = step.get("type")
    if isinstance(kind, str) and kind in _GROWING:
        wanted = step.get("pattern")
        replaced = wanted.get("String") if isinstance(wanted, dict) else None
        longest = max(1, len(replaced) if isinstance(replaced, str) else 0)
        added = step.get("content", step.get("prepend", step.get("append")))
        if isinstance(added, str) and len(added) > longest:
            _refuse(name, f"its step {kind} makes every text longer")


def _refuse(name: str, why: str) -> NoReturn:
    raise BundleError(
        f"{name}: refused: {why}. emo-export does not write such tokenizers: export again."
    )
