"""Fifth step: dynamic int8 quantization of matrix products, for the CPU.

Weights are quantized per output channel, symmetrically, to int8. Activations are quantized per
tensor to uint8 at run time.

On x86 without VNNI (AVX2, AVX-512) the product of unsigned and signed bytes is ``vpmaddubsw``. It
adds two adjacent products into 16 bits and saturates: 2 * 255 * 127 = 64,770 > 32,767. The result
must not depend on the machine, so weights are limited in one of two ways:

- each to ``WEIGHT_LIMIT`` (7 bits, ONNX Runtime's ``reduce_range``): 2 * 255 * 64 = 32,640;
- the sum of two adjacent ones to ``PAIR_LIMIT``: 255 * 128 = 32,640. Two large weights are seldom
  adjacent, so the step is some 1.5 times finer. Used for graphs whose channels are scaled, which
  makes some weights larger.

Unsigned weights would not saturate either, but were 1.4 to 1.7 times slower with VNNI (measured on
an AMD EPYC, 8 and 32 tokens, BETO's size).

ONNX Runtime's ``quantize_dynamic`` builds the same graph. This module exists because the gate needs
dozens of graphs, each with other products excluded, in memory and within a second each.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from emo_export.onnx_graph import Graph, Node, copy, prune
from emo_export.passes.attention import emit_attention

WEIGHT_LIMIT = 64
PAIR_LIMIT = 128
_LARGEST = 127
_ROUNDING = 1e-3  # margin: the values of a pair are divided and rounded in float32
_QUANTIZED = frozenset({"MatMul", "Attention"})


@dataclass(frozen=True)
class ChannelWeights:
    """``values`` int8 [in, out] and ``scales`` float32 [out], so that weight = values * scales."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantize(
    model: onnx.ModelProto, *, keep: frozenset[str] = frozenset(), pairs: bool = False
) -> onnx.ModelProto:
    """Return an optimized graph with int8 matrix products, except those in ``keep``.

    ``keep`` has names as returned by ``products``. Products of two computed tensors and the small
    ``Gemm`` of a classifier's head stay in float32: their cost is negligible. ``pairs`` limits the
    sum of two adjacent weights instead of each.
    """
    model = copy(model)
    graph = Graph(model)
    shared: dict[str, tuple[str, str, str]] = {}
    for name, node in _products(graph):
        if name in keep:
            continue
        weight = graph.constant(node.input[1])
        if weight is None:
            continue
        floats = weight.astype(np.float32)
        channels = quantize_pairs(floats) if pairs else quantize_channels(floats)
        nodes = []
        source = node.input[0]
        if source not in shared:
            shared[source] = (f"{source}.u8", f"{source}.u8.scale", f"{source}.u8.zero")
            nodes.append(helper.make_node("DynamicQuantizeLinear", [source], [*shared[source]]))
        if node.op_type == "Attention":
            product = f"{name}.product"
            nodes += _matmul(graph, product, shared[source], channels)
            nodes += emit_attention(graph, node, product)
        else:
            nodes += _matmul(graph, name, shared[source], channels)
        graph.replace_node(node, nodes)
    prune(model)
    return model


def products(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return the names of the matrix products that ``quantize`` quantizes, in graph order."""
    return tuple(name for name, _ in _products(Graph(model)))


def quantize_pairs(weight: NDArray[np.float32]) -> ChannelWeights:
    """Quantize [in, out] symmetrically with one scale per column.

    The magnitudes of the values in rows 2i and 2i + 1 add up to at most ``PAIR_LIMIT``.
    """
    size = np.abs(weight)
    even = len(size) // 2 * 2
    pairs = size[0:even:2] + size[1:even:2]
    steps = np.maximum(
        pairs.max(axis=0, initial=0) / (PAIR_LIMIT - _ROUNDING),
        size.max(axis=0, initial=0) / _LARGEST,
    )
    return _rounded(weight, steps, _LARGEST)


def quantize_channels(weight: NDArray[np.float32], limit: int = WEIGHT_LIMIT) -> ChannelWeights:
    """Quantize [in, out] symmetrically with one scale per column, to values in [-limit, limit]."""
    return _rounded(weight, np.abs(weight).max(axis=0) / limit, limit)


def _rounded(weight: NDArray[np.float32], steps: NDArray[np.float32], limit: int) -> ChannelWeights:
    scales = steps.astype(np.float32)
    # A column of zeros, or of values too small for a float32 division, becomes zeros.
    scales[scales < np.finfo(np.float32).tiny] = np.float32(1 / limit)
    values = np.clip(np.rint(weight / scales), -limit, limit).astype(np.int8)
    return ChannelWeights(values, scales)


def _products(graph: Graph) -> list[tuple[str, Node]]:
    """Return the products by the name of their output, which later rewrites do not change."""
    return [
        (str(node.output[0]), node)
        for node in graph.nodes
        if node.op_type in _QUANTIZED and graph.constant(node.input[1]) is not None
    ]


def _matmul(
    graph: Graph, name: str, source: tuple[str, str, str], channels: ChannelWeights
) -> list[Node]:
    """Build the product in standard operators; ONNX Runtime fuses them and a following bias."""
    values = graph.add_constant(f"{name}.weight", channels.values)
    scales = graph.add_constant(f"{name}.scale", channels.scales)
    zero = graph.add_constant(f"{name}.zero", np.zeros((), np.int8))
    quantized, scale, zero_point = source
    whole, floats, both = f"{name}.int32", f"{name}.float", f"{name}.scales"
    return [
        helper.make_node("MatMulInteger", [quantized, values, zero_point, zero], [whole]),
        helper.make_node("Cast", [whole], [floats], to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, scales], [both]),
        helper.make_node("Mul", [floats, both], [name]),
    ]
