"""The matrix products of a text graph in int8 with scales that are fixed, for OpenVINO's provider.

Static quantization by NNCF (post-training, for transformers: SmoothQuant, then ranges and biases
from what the network computes for some transcripts), written as ``QuantizeLinear`` and
``DequantizeLinear`` around what stays a float32 graph. Every engine can run that; OpenVINO's
provider runs it in int8.

Weights have 7 bits (NNCF's ``overflow_fix``), for the reason that ``quantize`` gives: an answer
can't depend on whether a processor has VNNI.
"""

import contextlib
import importlib.util
import io
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_runtime.errors import EmoError

Ids = NDArray[np.int64]


def require_nncf() -> None:
    """Raise EmoError where NNCF is not installed."""
    if importlib.util.find_spec("nncf") is None:
        raise EmoError(
            "--precision int8-qdq needs NNCF, which is not installed: "
            'pip install "emo-runtime[qdq]", or leave that variant out.'
        )


def quantize_static(model: onnx.ModelProto, rows: Sequence[Ids]) -> onnx.ModelProto:
    """A text graph of standard operators with int8 products, fitted to ``rows`` of token ids.

    The same graph and rows give the same result. Raises EmoError where NNCF is not installed.
    """
    require_nncf()
    with _quiet():
        import nncf  # noqa: PLC0415  (an extra, and slow to import)

        batches = [
            {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]} for ids in rows
        ]
        settings = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
        result: onnx.ModelProto = nncf.quantize(
            model,
            nncf.Dataset(batches),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
            advanced_parameters=settings,
        )
    return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither reports to its makers (its own switch for that), nor progress on standard output."""
    os.environ["NNCF_CI"] = "1"
    logger = logging.getLogger("nncf")
    before: Any = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
