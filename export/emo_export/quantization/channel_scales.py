"""Choose the channel factors of ``scale_channels`` for dynamic int8, from sample activations."""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import Graph, copy
from emo_export.passes.scale_channels import Factors, products_of
from emo_export.quantization.dynamic import quantize_pairs

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

# A factor must halve the error of a product to be worth a pass over its input.
_LARGEST_RATIO = 0.5
# SmoothQuant's exponents: how much of a channel's size moves into the weights.
_EXPONENTS = (0.5, 0.6, 0.7, 0.8, 0.9)
# Channels above this multiple of the median size are reduced, by one of the powers.
_MULTIPLES = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_POWERS = (0.7, 1.0)
_TINY = 1e-5


def choose_factors(model: onnx.ModelProto, rows: Sequence[Ids]) -> dict[str, Factors]:
    """Return factors by tensor, for the inputs of products whose int8 error they halve.

    Args:
        model: An optimized float32 text graph.
        rows: Token ids of sample texts. Each row has its own range at run time, so the rows are
            quantized one by one here too.
    """
    graph = Graph(model)
    sources = dict.fromkeys(
        node.input[0] for node in graph.nodes if node.op_type in {"MatMul", "Attention"}
    )
    products = {source: products_of(graph, source) for source in sources}
    chosen = {}
    for source, activations in _activations(model, [s for s in products if products[s]], rows):
        found = [graph.constant(node.input[1]) for node in products[source]]
        weight = np.concatenate([item for item in found if item is not None], axis=1)
        factor = _best(activations, weight.astype(np.float32))
        if factor is not None:
            chosen[source] = factor
    return chosen


def _activations(
    model: onnx.ModelProto, sources: Sequence[str], rows: Sequence[Ids]
) -> Iterator[tuple[str, list[Floats]]]:
    """Yield each source with its values [tokens, channels] for each row."""
    probed = copy(model)
    probed.graph.output.extend(
        helper.make_tensor_value_info(source, TensorProto.FLOAT, None) for source in sources
    )
    session = GraphSession(probed)
    found: dict[str, list[Floats]] = {source: [] for source in sources}
    for ids in rows:
        outputs = session.text(ids)
        for source, values in found.items():
            values.append(outputs[source].reshape(-1, outputs[source].shape[-1]))
    for source in sources:
        yield source, found.pop(source)


def _best(activations: Sequence[Floats], weight: Floats) -> Factors | None:
    """Return the factors with the smallest error, or None if none halves it."""
    exact = np.concatenate(activations) @ weight
    # Relative to each token: the few tokens with huge values don't outweigh all others.
    norm = np.maximum((exact**2).mean(axis=1), _TINY)

    def error(factor: Factors) -> float:
        scaled = np.concatenate([_quantized(rows / factor) for rows in activations])
        channels = quantize_pairs(weight * factor[:, np.newaxis])
        found = scaled @ (channels.values * channels.scales)
        return float((((found - exact) ** 2).mean(axis=1) / norm).mean())

    plain = error(np.ones(len(weight), np.float32))
    best, smallest = None, _LARGEST_RATIO * plain
    for factor in _candidates(activations, weight):
        if (size := error(factor)) < smallest:
            best, smallest = factor, size
    return best


def _candidates(activations: Sequence[Floats], weight: Floats) -> Iterator[Factors]:
    size = np.maximum(np.abs(np.concatenate(activations)).max(axis=0), _TINY)
    rows = np.maximum(np.abs(weight).max(axis=1), _TINY)
    for exponent in _EXPONENTS:
        factor = size**exponent / rows ** (1 - exponent)
        yield (factor / np.exp(np.log(factor).mean())).astype(np.float32)
    for multiple in _MULTIPLES:
        above = np.maximum(1, size / (multiple * np.median(size)))
        for power in _POWERS:
            yield (above**power).astype(np.float32)


def _quantized(values: Floats) -> Floats:
    """Return values after ``DynamicQuantizeLinear`` and back."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    step = (high - low) / 255 or 1.0
    zero = np.rint(-low / step)
    steps = np.clip(np.rint(values / step) + zero, 0, 255) - zero
    return np.asarray(steps * step, np.float32)
