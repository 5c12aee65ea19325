"""What an export did and found, as values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emo_export.contents import Findings
from emo_export.speed import Speed
from emo_runtime.manifest import TaskName

STEPS = (
    "load", "check", "graph", "optimize", "calibrate", "reference", "quantize", "verify", "package",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One step that is done: its seconds, and the bytes of the graphs after it, if any."""

    name: str
    duration_s: float
    size_bytes: int | None = None


@dataclass(frozen=True)
class Report:
    """``files`` are sizes in bytes; ``products`` counts the matrix products of each int8 graph."""

    output: str
    tasks: tuple[TaskName, ...]
    files: Mapping[str, int]
    findings: Findings
    products: Mapping[str, int]
    speeds: tuple[Speed, ...]
    steps: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "output": self.output,
            "tasks": list(self.tasks),
            "files": dict(self.files),
            "size_bytes": sum(self.files.values()),
            **self.findings.as_json(),
            "products": dict(self.products),
            "speed": [item.as_json() for item in self.speeds],
            "steps": [asdict(step) for step in self.steps],
        }
