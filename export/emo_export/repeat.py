"""A bundle that was written earlier, measured against its checkpoint again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from emo_export.check import check
from emo_export.describe import audio_contract
from emo_export.evaluation import read_rows, shipped_sentences
from emo_export.load import Checkpoints, load
from emo_export.measure import Bench
from emo_export.options import Sources
from emo_export.variants import Variants, complete_sets
from emo_export.verify import Comparison
from emo_models.errors import CheckpointError
from emo_runtime.bundle import Bundle, open_bundle
from emo_runtime.manifest import Precision


@dataclass(frozen=True)
class Repeated:
    """What was measured, and on what."""

    evaluated: str
    comparisons: tuple[Comparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "evaluated": self.evaluated,
            "comparisons": [item.as_json() for item in self.comparisons],
        }


def repeat(bundle: Path, sources: Sources, evaluate: Path | None = None) -> Repeated:
    """Compare every variant of a bundle with the checkpoint in PyTorch, as the export did.

    ``evaluate`` is a CSV as for emo-export, None the sentences that ship. Raises BundleError where
    the bundle is refused, CheckpointError where it was made from another checkpoint.
    """
    opened = open_bundle(bundle)
    checkpoints = load(sources)
    check(checkpoints)
    _require_same(opened, checkpoints)
    rows = shipped_sentences() if evaluate is None else read_rows(evaluate)
    bench = Bench.of(checkpoints, rows, audio_contract(checkpoints))
    comparisons = tuple(
        item
        for precision, graphs in complete_sets(_graphs(opened)).items()
        for item in bench.compare(precision, bench.ask(graphs))
    )
    return Repeated(bench.evaluated, comparisons)


def _graphs(bundle: Bundle) -> Variants:
    variants: Variants = {}
    for name, graph in bundle.manifest.graphs.items():
        models: dict[Precision, onnx.ModelProto] = {}
        for precision, file in graph.variants.items():
            models[precision] = onnx.load_from_string(bundle.read(file))
        variants[name] = models
    return variants


def _require_same(bundle: Bundle, checkpoints: Checkpoints) -> None:
    made_from = bundle.manifest.provenance.get("checkpoints_sha256")
    given = checkpoints.sha256
    if made_from != given:
        raise CheckpointError(
            f"{bundle.path}: was made from the checkpoints {made_from}, but {given} were given. "
            "Give the ones that it was exported from."
        )
