"""All files of a bundle in memory: graphs, tokenizers, golden cases, card, manifest."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from emo_export.calibrate import Calibration
from emo_export.card import card
from emo_export.describe import CARD, GOLDEN, Contents, describe
from emo_export.load import Checkpoints
from emo_export.onnx_graph import encode
from emo_export.options import Gate, Identity
from emo_export.verify import Comparison
from emo_runtime.golden import Golden, encode_golden
from emo_runtime.manifest import MANIFEST_NAME, Precision, encode_manifest

Variants = Mapping[str, Mapping[Precision, onnx.ModelProto]]


@dataclass(frozen=True)
class Findings:
    """What was measured, on what, and the golden cases that were chosen.

    ``kept`` are the matrix products (by their number in the graph) that int8 leaves in float32;
    ``fitted`` is what int8-qdq was fitted to, in words, if there is one.
    """

    evaluated: str
    comparisons: tuple[Comparison, ...]
    golden: Golden
    gate: Gate
    kept: Mapping[str, tuple[int, ...]]
    calibrations: tuple[Calibration, ...]
    fitted: str | None = None

    def remarks(self) -> list[str]:
        """The same for people: the gate, its repair, new temperatures."""
        gate = self.gate
        found = [
            f"Gate: label agreement at least {gate.min_agreement:g}, macro-F1 loss at most "
            f"{gate.max_f1_loss:g}; {'met' if gate.enforced else 'not enforced'}."
        ]
        found += [
            f"{len(kept)} matrix products of the graph `{name}` stay in float32, to meet it."
            for name, kept in self.kept.items()
        ]
        if self.fitted is not None:
            found.append(f"int8-qdq was fitted to {self.fitted}, which are not evaluated on.")
        found += [
            f"Temperature of the task {item.task}: {item.temperature:g}, fitted on {item.rows} "
            f"rows (expected calibration error {item.error_before:.3f} -> {item.error:.3f})."
            for item in self.calibrations
        ]
        return found

    def as_json(self) -> dict[str, Any]:
        """The manifest's ``verification``: nothing in it changes from one run to the next."""
        document: dict[str, Any] = {
            "reference": "the checkpoint in PyTorch, float32",
            "evaluated": self.evaluated,
            "gate": asdict(self.gate),
            "comparisons": [item.as_json() for item in self.comparisons],
            "kept_in_float32": {name: list(numbers) for name, numbers in self.kept.items()},
        }
        if self.fitted is not None:
            document["int8_qdq_fitted_to"] = self.fitted
        if self.calibrations:
            document["calibration"] = [item.as_json() for item in self.calibrations]
        return document


def bundle_files(
    checkpoints: Checkpoints, variants: Variants, findings: Findings, identity: Identity
) -> dict[str, bytes]:
    """The files by name, the manifest first: the same bytes for the same arguments."""
    files: dict[str, bytes] = {}
    graphs: dict[str, dict[Precision, str]] = {}
    for name, items in variants.items():
        for precision, model in items.items():
            file = f"{name}.{precision}.onnx"
            files[file] = encode(model)
            graphs.setdefault(name, {})[precision] = file
    tokenizers = {"text": "tokenizer.json"}
    files["tokenizer.json"] = checkpoints.text.tokenizer.json.encode()
    encoder = checkpoints.encoder
    if encoder is not None and encoder.tokenizer != checkpoints.text.tokenizer:
        tokenizers["encoder"] = "tokenizer-encoder.json"
        files["tokenizer-encoder.json"] = encoder.tokenizer.json.encode()
    files[GOLDEN] = encode_golden(findings.golden)
    files[CARD] = card(
        checkpoints, identity, findings.comparisons, findings.evaluated, findings.remarks()
    ).encode()
    contents = Contents(files, graphs, tokenizers)
    manifest = describe(checkpoints, contents, identity, findings.as_json())
    return {MANIFEST_NAME: encode_manifest(manifest), **files}
