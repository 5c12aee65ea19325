"""Decide by measurement whether an int8 text graph gets factors for its channels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx

from emo_export.checkpoints.load import token_ids
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.rows import shipped_sentences
from emo_export.onnx_graph import copy
from emo_export.passes.scale_channels import scale_channels
from emo_export.quantization.channel_scales import choose_factors
from emo_export.quantization.variants import Optimized, variant
from emo_runtime.bundle.manifest import TaskName

# Every 26th built-in sentence is a sample: 21 sentences, some of each label.
_SAMPLE = 26
_JUDGED_ROWS = 128
# Factors cost time: they stay only if they halve the loss.
_LARGEST_RATIO = 0.5


@dataclass(frozen=True)
class Scaling:
    """Number of scaled tensors; mean change of the probabilities with and without the factors."""

    tensors: int
    change: float
    change_without: float


def scale_outliers(
    optimized: Optimized, evaluator: Evaluator, name: str, tasks: Sequence[TaskName]
) -> tuple[Optimized, Scaling | None]:
    """Scale the channels of a graph's activations for int8, if that reduces the loss.

    The factors are chosen on built-in sentences, and judged on the evaluation rows. Speech graphs
    are returned unchanged.
    """
    checkpoints = evaluator.checkpoints
    owner = {"text": checkpoints.text, "encoder": checkpoints.encoder}.get(name)
    if owner is None:
        return optimized, None
    texts = [row.text or "" for row in shipped_sentences().rows[::_SAMPLE]]
    factors = choose_factors(optimized.for_int8[name], token_ids(owner, texts))
    if not factors:
        return optimized, None
    model = copy(optimized.for_int8[name])
    scale_channels(model, factors)
    scaled = replace(
        optimized,
        for_int8={**optimized.for_int8, name: model},
        scaled=optimized.scaled | {name},
    )
    some = evaluator.subsample(max(1, len(evaluator.evaluation.rows) // _JUDGED_ROWS))

    def change(graph: onnx.ModelProto) -> float:
        return some.mean_change(some.ask({**optimized.graphs, name: graph}), tasks)

    without = change(variant(optimized, name, "int8"))
    found = change(variant(scaled, name, "int8"))
    if found > _LARGEST_RATIO * without:
        return optimized, None
    return scaled, Scaling(len(factors), found, without)
