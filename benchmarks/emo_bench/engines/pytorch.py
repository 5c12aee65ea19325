"""The paper's own stack (transformers in PyTorch), in float32 and with int8 linear layers."""

from pathlib import Path
from typing import Any

import torch

from emo_bench.engines.compiled import int8_linear
from emo_bench.engines.torch_stack import Floats, Ids, RivalEngine, load_both, set_threads


def open_engine(
    *, checkpoint: str, precision: str, threads: int | None, serving: bool
) -> RivalEngine:
    """Open PyTorch; ``precision``: fp32, or int8 (``torch.ao.quantization.quantize_dynamic``)."""
    concurrency = set_threads(threads, serving=serving)
    network: torch.nn.Module = load_both(Path(checkpoint))
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if precision == "int8":
        network = int8_linear(network)
        size = 0

    def run(ids: Ids, mask: Ids) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            logits, embedding = network(torch.from_numpy(ids), torch.from_numpy(mask))
        return logits.numpy(), embedding.numpy()

    described: dict[str, Any] = {"engine": "PyTorch", "precision": precision, "model_bytes": size}
    return RivalEngine(Path(checkpoint), run, described, concurrency)
