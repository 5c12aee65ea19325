"""Mutations that keep JSON valid: the parser rejects most inputs with flipped bits."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Mutate = Callable[[bytes, int], bytes]
_ODD = (
    *(None, True, False, "", [], {}, 0, -1, 1, 0.5, -0.0, 1e308, 1 << 31, 1 << 63, 1 << 70),
    *("\0", "\ud800", "..", "/", "a" * 300, "NaN", "1e999", "-1", [[]], {"": None}),
)


def json_lines(mutate: Mutate) -> Callable[[bytes, int, int], bytes]:
    """Return a libFuzzer mutator for lines of JSON, with an optional selector byte in front.

    Half of the mutations, and all of those without a JSON line, use libFuzzer's own ``mutate``.
    """

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        draw = random.Random(seed)
        head = data[: 0 if data[:1] in b"{[" else 1]
        lines = data[len(head) :].split(b"\n") if draw.random() < 0.3 else [data[len(head) :]]
        number = draw.randrange(len(lines))
        changed = _changed(lines[number], draw) if draw.random() < 0.5 else None
        if changed is None:
            return mutate(data, max_size)
        lines[number] = changed
        result = head + b"\n".join(lines)
        return result if len(result) <= max_size else mutate(data, max_size)

    return change


def _changed(line: bytes, draw: random.Random) -> bytes | None:
    """Return the line with one value replaced, removed, duplicated or renamed."""
    try:
        document = json.loads(line)
        places = list(_places(document))
        if not places:
            return None
        _change_at(*draw.choice(places), draw.choice(places), draw)
        return json.dumps(document).encode()
    except (ValueError, RecursionError):
        return None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in ``value`` with each of its keys."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield value, key
        yield from _places(value[key])


def _change_at(holder: Any, key: Any, other: tuple[Any, Any], draw: random.Random) -> None:
    match draw.randrange(4):
        case 0:
            holder[key] = draw.choice(_ODD)
        case 1:
            del holder[key]
        case 2:
            holder[key] = json.loads(json.dumps(other[0][other[1]]))
        case _ if isinstance(holder, dict):
            holder[str(draw.choice([other[1], "", "x", key])) * draw.randint(1, 2)] = holder[key]
        case _:
            holder.append(holder[key])
