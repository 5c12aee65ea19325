"""Requirements of the installed distribution and of its extras: what is missing or unsuitable.

Only what the metadata of this project uses is understood: names, version comparisons, extras, and
markers with ``extra`` and ``platform_system``.
"""

import importlib.metadata
import operator
import platform
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

DISTRIBUTION = "emo-runtime"

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^\]]*)\])?\s*\(?(?P<versions>[^;)]*)\)?\s*"
    r"(?:;(?P<marker>.*))?$"
)
_VERSION = re.compile(r"(?P<operator>[<>=!]=|[<>])\s*(?P<version>[\w.]+)")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")
_SYSTEM = re.compile(r"""platform_system\s*!=\s*["'](\w+)["']""")
_OPERATORS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Requirement:
    """A distribution that is required, and what is installed of it (None: nothing)."""

    name: str
    versions: str
    installed: str | None

    @property
    def problem(self) -> str | None:
        """What is wrong with the installed version, if anything."""
        if self.installed is None:
            return f"{self.name} is not installed"
        if not fits(self.installed, self.versions):
            return f"{self.name} {self.installed} is installed, required is {self.versions}"
        return None


def requirements_of(extra: str | None, lines: list[str] | None = None) -> list[Requirement]:
    """Return the requirements of the base package (None) or of one extra, and of its extras.

    ``lines`` defaults to the metadata of the installed distribution.
    """
    if lines is None:
        lines = _installed_lines()
    return list({found.name: found for found in _walk(extra, lines, set())}.values())


def extras() -> list[str]:
    """Return the names of the extras of the installed distribution."""
    try:
        metadata = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return []
    return metadata.get_all("Provides-Extra") or []


def installed_version(name: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def fits(version: str, constraint: str) -> bool:
    """True if a version satisfies comparisons such as ``>=4.57,<4.58``."""
    return all(
        _OPERATORS[found["operator"]](*_padded(_release(version), _release(found["version"])))
        for found in _VERSION.finditer(constraint)
    )


def _walk(extra: str | None, lines: list[str], seen: set[str | None]) -> Iterator[Requirement]:
    if extra in seen:
        return
    seen.add(extra)
    for line in lines:
        parts = _REQUIREMENT.match(line)
        if parts is None or not _applies(parts["marker"] or "", extra):
            continue
        if parts["name"].replace("_", "-").lower() == DISTRIBUTION:
            for nested in (parts["extras"] or "").split(","):
                yield from _walk(nested.strip(), lines, seen)
            continue
        yield Requirement(
            parts["name"], parts["versions"].strip(), installed_version(parts["name"])
        )


def _applies(marker: str, extra: str | None) -> bool:
    of_extra = _EXTRA.search(marker)
    system = _SYSTEM.search(marker)
    return (of_extra[1] if of_extra else None) == extra and (
        system is None or platform.system() != system[1]
    )


def _installed_lines() -> list[str]:
    try:
        return importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _padded(
    first: tuple[int, ...], second: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(first), len(second))
    return tuple(item + (0,) * (length - len(item)) for item in (first, second))  # type: ignore[return-value]
