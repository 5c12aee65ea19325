"""Compare a bundle with its checkpoint: ``emo-bundle verify --reference CHECKPOINT``."""

from pathlib import Path
from typing import Any

import onnx

from emo_export.checkpoints.load import Checkpoints, load
from emo_export.checkpoints.read_speech import is_speech
from emo_export.checkpoints.validate import check, front_end_of
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.gate import missed
from emo_export.evaluation.rows import (
    read_rows,
    shipped_clips,
    shipped_sentences,
    split_quantization_rows,
)
from emo_export.options import Gate, Sources
from emo_models.data.corpora import TableFormat
from emo_models.modeling.source import read_config
from emo_runtime.bundle.manifest import Precision
from emo_runtime.bundle.reader import Bundle
from emo_runtime.errors import BundleError, SelfTestError


def compare_with_reference(
    bundle: Bundle,
    reference: Path,
    evaluate: Path | None,
    min_agreement: float,
    variant: Precision | None = None,
    *,
    label_separator: str | None = None,
) -> dict[str, Any]:
    """Compare a bundle with its checkpoint in PyTorch, or with the ONNX graph that it was made of.

    Args:
        bundle: the bundle.
        reference: a text or speech checkpoint, or a directory that contains one or more of
            ``text``, ``encoder``, ``fusion`` and ``speech``.
        evaluate: a table of rows; None: the built-in sentences, or synthetic clips for a bundle
            without text.
        min_agreement: smallest label agreement; the other limits are those of ``Gate``.
        variant: the precision to compare; None: all of them.
        label_separator: separator of several labels in a cell of ``evaluate``.

    Raises:
        SelfTestError: a limit is not met.
        BundleError: the bundle was made from another checkpoint.
    """
    checkpoints = load(_sources(reference))
    check(checkpoints)
    _same_weights(bundle, checkpoints)
    with_text = checkpoints.text is not None or checkpoints.fusion is not None
    if evaluate is not None:
        layout = TableFormat(label_separator=label_separator or None)
        evaluation = read_rows(evaluate, layout, with_text=with_text)
    else:
        evaluation = shipped_sentences() if with_text else shipped_clips()
    precisions = next(
        tuple(graph.variants) for graph in bundle.manifest.graphs.values() if graph.kind != "fusion"
    )
    if "int8-qdq" in precisions:
        evaluation, _ = split_quantization_rows(evaluation)
    evaluator = Evaluator.of(checkpoints, evaluation, front_end_of(checkpoints))
    comparisons = [
        comparison
        for precision in precisions
        if variant in (None, precision)
        for comparison in evaluator.compare(precision, evaluator.ask(_graphs(bundle, precision)))
    ]
    if reasons := missed(comparisons, Gate(min_agreement)):
        raise SelfTestError(
            f"{bundle.path}: {'; '.join(reasons)}. Export the bundle again, with --precision fp32 "
            "if need be."
        )
    return {
        "evaluated": evaluator.evaluated,
        "comparisons": [comparison.as_json() for comparison in comparisons],
    }


def _sources(reference: Path) -> Sources:
    parts = {name: reference / name for name in ("text", "encoder", "fusion", "speech")}
    found = {name: str(path) for name, path in parts.items() if path.is_dir()}
    if not {"text", "fusion", "speech"} & found.keys():
        speech = is_speech(read_config(reference))
        return Sources(speech=str(reference)) if speech else Sources(text=str(reference))
    return Sources(
        text=found.get("text"),
        encoder=found.get("encoder"),
        fusion=found.get("fusion"),
        speech=found.get("speech"),
    )


def _same_weights(bundle: Bundle, checkpoints: Checkpoints) -> None:
    made_from = bundle.manifest.provenance.get("checkpoints_sha256", {})
    for name, sha256 in checkpoints.sha256.items():
        if name in made_from and made_from[name] != sha256:
            raise BundleError(
                f"{bundle.path}: made from {name} weights {made_from[name][:12]}..., the reference "
                f"has {sha256[:12]}...: give the checkpoint that it was made from."
            )


def _graphs(bundle: Bundle, precision: Precision) -> dict[str, onnx.ModelProto]:
    """Return one complete set of graphs; the fusion network has a single precision."""
    found = {}
    for name, graph in bundle.manifest.graphs.items():
        file = graph.variants.get(precision) or next(iter(graph.variants.values()))
        found[name] = onnx.load_from_string(bundle.read(file))
    return found
