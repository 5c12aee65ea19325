"""Static int8 quantization of a text graph, for OpenVINO's provider.

NNCF quantizes the graph after training (SmoothQuant, then ranges and biases from the activations of
some transcripts). The result is a float32 graph with ``QuantizeLinear`` and ``DequantizeLinear``
nodes. Every engine can run it; OpenVINO's provider runs it in int8.

Weights use 7 bits (NNCF's ``overflow_fix``) for the reason given in ``dynamic``: results must not
depend on the processor's support for VNNI.
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
    """Raise EmoError if NNCF is not installed."""
    if importlib.util.find_spec("nncf") is None:
        raise EmoError(
            "--precision int8-qdq needs NNCF, which is not installed: "
            'pip install "emo-runtime[qdq]", or leave that variant out.'
        )


def quantize_static(model: onnx.ModelProto, rows: Sequence[Ids]) -> onnx.ModelProto:
    """Quantize a text graph of standard operators, with scales fitted to ``rows`` of token ids.

    The same graph and rows give the same result.

    Raises:
        EmoError: NNCF is not installed.
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
    """Disable NNCF's telemetry, and its progress output on standard output."""
    os.environ["NNCF_CI"] = "1"
    logger = logging.getLogger("nncf")
    before: Any = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
