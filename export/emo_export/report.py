"""Data types for the steps, measurements and report of an export."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from emo_export.evaluation.calibrate import Calibration
from emo_export.evaluation.compare import Comparison
from emo_export.evaluation.latency import Speed
from emo_export.options import Gate
from emo_export.quantization.outliers import Scaling
from emo_runtime.bundle.golden import Golden
from emo_runtime.bundle.manifest import TaskName

STEPS = (
    "load", "check", "graph", "optimize", "calibrate", "reference", "quantize", "verify", "package",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One finished step: its duration in seconds, and the size of its graphs in bytes, if any."""

    name: str
    duration_s: float
    size_bytes: int | None = None


@dataclass(frozen=True)
class Findings:
    """Measurements, their rows, and the selected golden cases.

    ``kept`` are the matrix products (by their number in the graph) that int8 leaves in float32;
    ``fitted`` names the rows that int8-qdq was fitted to. ``tried`` describes the repair, and
    ``scaled`` the factors for channels of activations, by graph. ``reference`` is what the graphs
    were compared with.
    """

    evaluated: str
    comparisons: tuple[Comparison, ...]
    golden: Golden
    gate: Gate
    kept: Mapping[str, tuple[int, ...]]
    calibrations: tuple[Calibration, ...]
    fitted: str | None = None
    word_tables: tuple[str, ...] = ()
    tried: str = ""
    scaled: Mapping[str, Scaling] = field(default_factory=dict)
    reference: str = "the checkpoint in PyTorch"

    def remarks(self) -> list[str]:
        """Return sentences about the gate, the repair and new temperatures."""
        gate = self.gate
        found = [
            f"Gate: label agreement at least {gate.min_agreement:g}, macro-F1 loss at most "
            f"{gate.max_f1_loss:g}, mean change of the probabilities at most {gate.max_change:g}; "
            f"{'met' if gate.enforced else 'not enforced'}."
        ]
        found += [
            f"The checkpoint gives {item.labels} different labels; the most frequent one has "
            f"{item.largest_share:.1%} of the rows (task {item.task})."
            for item in {item.task: item for item in self.comparisons}.values()
            if not item.random_sound
        ]
        found += [
            f"The activations of {item.tensors} tensors of the int8 graph `{name}` are scaled by "
            f"channel: mean change of the probabilities {item.change:.4f}, without "
            f"{item.change_without:.4f}."
            for name, item in self.scaled.items()
        ]
        found += [
            f"{len(kept)} matrix product{'' if len(kept) == 1 else 's'} of the graph `{name}` "
            f"{'stays' if len(kept) == 1 else 'stay'} in float32, to meet the gate."
            for name, kept in self.kept.items()
        ]
        found += [f"The word table of `{name}` stays in float32." for name in self.word_tables]
        if self.tried:
            found.append(self.tried.strip())
        if self.fitted is not None:
            found.append(f"int8-qdq was fitted to {self.fitted}, which are not evaluated on.")
        found += [
            f"Temperature of the task {item.task}: {item.temperature:g}, fitted on {item.rows} "
            f"rows (expected calibration error {item.error_before:.3f} -> {item.error:.3f})."
            for item in self.calibrations
        ]
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the manifest's ``verification``, which is equal in every run."""
        document: dict[str, Any] = {
            "reference": f"{self.reference}, float32",
            "evaluated": self.evaluated,
            "gate": asdict(self.gate),
            "comparisons": [item.as_json() for item in self.comparisons],
            "kept_in_float32": {name: list(numbers) for name, numbers in self.kept.items()},
            **({"word_tables_in_float32": list(self.word_tables)} if self.word_tables else {}),
        }
        if self.scaled:
            document["scaled_tensors"] = {name: item.tensors for name, item in self.scaled.items()}
        if self.fitted is not None:
            document["int8_qdq_fitted_to"] = self.fitted
        if self.calibrations:
            document["calibration"] = [item.as_json() for item in self.calibrations]
        return document


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
        """Return plain values for ``--json``."""
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
