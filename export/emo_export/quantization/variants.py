"""Variants of every graph: optimized, and in each requested precision."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from emo_export.checkpoints.load import Checkpoints, TextCheckpoint, token_ids
from emo_export.onnx_graph import clean, copy
from emo_export.passes.decompose_contrib import in_standard_operators
from emo_export.passes.optimize import optimize_fusion, optimize_speech, optimize_text
from emo_export.passes.residual_sum import keep_residuals_apart
from emo_export.passes.share_constants import share_constants
from emo_export.quantization.dynamic import products, quantize
from emo_export.quantization.embedding import (
    WORD_TABLE,
    has_word_table,
    is_large,
    quantize_positions,
    quantize_rows,
)
from emo_export.quantization.float16 import half
from emo_export.quantization.static import quantize_static
from emo_runtime.bundle.manifest import Precision

Graphs = Mapping[str, onnx.ModelProto]
Variants = dict[str, dict[Precision, onnx.ModelProto]]


@dataclass(frozen=True)
class Optimized:
    """Exact float32 graphs by name.

    ``graphs`` are the source of float32 and float16, ``for_int8`` the source of int8: the same
    graphs, or with an unfused embedding if the word table is quantized by rows. ``standard`` are
    the text graphs in standard operators, for int8-qdq; empty if int8-qdq is not requested.
    ``scaled`` names the graphs in ``for_int8`` whose activations have channel factors.
    """

    graphs: Graphs
    for_int8: Graphs
    standard: Graphs = field(default_factory=dict)
    scaled: frozenset[str] = frozenset()

    def products(self, name: str) -> tuple[str, ...]:
        """Return the matrix products of a graph that can be quantized individually."""
        return products(self.for_int8[name])

    def repairable(self, name: str) -> tuple[str, ...]:
        """Return the parts that can stay in float32: products, and a quantized word table."""
        table = (WORD_TABLE,) if has_word_table(self.for_int8[name]) else ()
        return (*self.products(name), *table)


def optimize(
    graphs: dict[str, onnx.ModelProto], checkpoints: Checkpoints, precisions: Sequence[Precision]
) -> Optimized:
    """Apply the exact rewrites to every graph; skip forms that no precision needs.

    ``graphs`` is emptied, so that each is freed as soon as its rewritten copy exists.
    """
    owners: dict[str, TextCheckpoint] = {}
    if checkpoints.text is not None:
        owners["text"] = checkpoints.text
    if checkpoints.encoder is not None:
        owners["encoder"] = checkpoints.encoder
    result, separate, standard = {}, {}, {}
    for name in list(graphs):
        model = graphs.pop(name)
        if name == "fusion":
            result[name] = optimize_fusion(model)
            continue
        if name == "speech":
            result[name] = copy(optimize_speech(model))
            del model
            continue
        heads, hidden = owners[name].heads, owners[name].hidden
        by_rows = "int8" in precisions and is_large(model)
        if by_rows:
            separate[name] = optimize_text(model, heads=heads, hidden=hidden, embedding_fused=False)
        if by_rows and set(precisions) == {"int8"}:
            result[name] = separate[name]
        else:
            result[name] = optimize_text(model, heads=heads, hidden=hidden)
        if "int8-qdq" in precisions:
            standard[name] = optimize_text(model, heads=heads, hidden=hidden, embedding_fused=False)
            in_standard_operators(standard[name])
            clean(standard[name])
    return Optimized(result, {**result, **separate}, standard)


def variant(
    optimized: Optimized, name: str, precision: Precision, keep: frozenset[str] = frozenset()
) -> onnx.ModelProto:
    """Return one graph in one precision, ready to be written.

    ``keep`` names matrix products, or ``WORD_TABLE``, that stay in float32 (int8 only).
    """
    make: dict[Precision, Callable[[], onnx.ModelProto]] = {
        "fp32": lambda: _fp32(optimized.graphs[name]),
        "fp16": lambda: half(optimized.graphs[name]),
        "int8": lambda: _int8(optimized.for_int8[name], keep, pairs=name in optimized.scaled),
    }
    model = make[precision]()
    share_constants(model)
    model = copy(model)
    clean(model)
    return model


def static_variant(
    optimized: Optimized, checkpoints: Checkpoints, name: str, texts: Sequence[str]
) -> onnx.ModelProto:
    """Return one text graph in int8-qdq, fitted to transcripts, ready to be written."""
    owner = checkpoints.text if name == "text" else checkpoints.encoder
    if owner is None:
        raise ValueError(f"no checkpoint for the graph {name!r}")
    strip = owner.preparation.strip or name == "encoder"
    model = quantize_static(optimized.standard[name], token_ids(owner, texts, strip=strip))
    share_constants(model)
    clean(model)
    return model


def complete_sets(variants: Variants) -> dict[Precision, dict[str, onnx.ModelProto]]:
    """Return one graph of each name for each precision; the fusion graph is always float32."""
    first = next(items for name, items in variants.items() if name != "fusion")
    return {
        precision: {
            name: items["fp32"] if name == "fusion" else items[precision]
            for name, items in variants.items()
        }
        for precision in first
    }


def _fp32(model: onnx.ModelProto) -> onnx.ModelProto:
    result = copy(model)
    keep_residuals_apart(result)
    return result


def _int8(model: onnx.ModelProto, keep: frozenset[str], *, pairs: bool) -> onnx.ModelProto:
    result = quantize(model, keep=keep, pairs=pairs)
    if WORD_TABLE not in keep:
        quantize_rows(result)
    quantize_positions(result)
    keep_residuals_apart(result)
    return result
