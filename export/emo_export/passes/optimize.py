"""Fourth step: exact rewrites of the float32 graphs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_gelu import FusionGelu
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel

from emo_export.onnx_graph import CONTRIB, copy, prune
from emo_export.passes.cls_only import keep_cls_only
from emo_export.passes.drop_position_ids import drop_position_ids
from emo_export.passes.fold_linear import fold_linear
from emo_export.passes.fold_scale import fold_scales
from emo_export.passes.fold_token_types import fold_token_types
from emo_export.passes.identities import inline_identities
from emo_export.passes.merge_products import merge_products
from emo_export.passes.pointwise_conv import multiply_pointwise
from emo_export.passes.relative_keys import gather_relative_scores
from emo_export.passes.silu import fuse_silu
from emo_export.passes.split_gemm import split_large_gemms
from emo_export.passes.transposes import cancel_transposes
from emo_export.passes.unfold_conv import unfold_convolutions


def optimize_text(
    model: onnx.ModelProto, *, heads: int, hidden: int, embedding_fused: bool = True
) -> onnx.ModelProto:
    """Return a text graph with fused attention, embedding and GELU, and without unused nodes.

    With ``embedding_fused`` false the embedding stays in single operators, so that its table can be
    quantized by rows. ``SkipLayerNormalization`` is left unfused: see ``residual_sum``. The bias
    before a GELU is left unfused too. In int8 it is free as a part of the product, and ``Gelu``
    alone is the faster kernel. In float32 and float16, ONNX Runtime fuses the two at load time.
    """
    model = copy(model)
    fold_token_types(model)
    options = FusionOptions("bert")
    options.enable_skip_layer_norm = False
    options.enable_bias_skip_layer_norm = False
    options.enable_bias_gelu = False
    options.enable_embed_layer_norm = embedding_fused
    # The raw mask is correct for padding on either side; the other form assumes right padding.
    options.use_raw_attention_mask(True)
    with _quiet():
        fused: onnx.ModelProto = optimizer.optimize_model(
            model,
            "bert",
            num_heads=heads,
            hidden_size=hidden,
            optimization_options=options,
            opt_level=0,
        ).model
    if not any(item.domain == CONTRIB for item in fused.opset_import):
        fused.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    drop_position_ids(fused)
    keep_cls_only(fused)
    split_large_gemms(fused)
    prune(fused)
    return fused


def optimize_speech(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a speech graph, in place: a large one is never copied.

    Convolutions become matrix products that can be int8, scores of relative keys are gathered
    instead of vectors, constants are folded, and activations are fused.
    """
    inline_identities(model)
    gather_relative_scores(model)
    multiply_pointwise(model)
    unfold_convolutions(model)
    cancel_transposes(model)
    fold_scales(model)
    merge_products(model)
    fuse_silu(model)
    with _quiet():
        wrapped = OnnxModel(model)
        FusionGelu(wrapped).apply()
        wrapped.topological_sort()
    if not any(item.domain == CONTRIB for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    prune(model)
    return model


def optimize_fusion(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the fusion graph, with the linear layers before its first activation folded."""
    model = copy(model)
    fold_linear(model)
    prune(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("onnxruntime.transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
