"""CTranslate2: the encoder in int8, the classifiers in PyTorch."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emo_bench.engines.torch_stack import Floats, Ids, RivalEngine, folder_bytes, set_threads
from emo_models.modeling.load import load_text


def open_engine(
    *, checkpoint: str, precision: str, threads: int | None, serving: bool
) -> RivalEngine:
    """Open CTranslate2; ``precision`` is its compute type."""
    import ctranslate2

    concurrency = set_threads(threads, serving=serving)
    text = load_text(Path(checkpoint, "text"))
    model, tokenizer = text.module, text.tokenizer
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as name:
        source, target = Path(name, "source"), Path(name, "target")
        model.bert.save_pretrained(source)
        tokenizer.save_pretrained(source)
        ctranslate2.converters.TransformersConverter(str(source)).convert(
            str(target), quantization=precision
        )
        encoder = ctranslate2.Encoder(
            str(target),
            device="cpu",
            compute_type=precision,
            inter_threads=concurrency,
            intra_threads=1 if serving else threads or 0,
        )
        size = folder_bytes(target)
    classifier, pooler = model.classifier, model.bert.pooler
    ngrams = getattr(model, "ngrams", None)

    def run(ids: Ids, mask: Ids) -> tuple[Floats, Floats]:
        output = encoder.forward_batch(ids.tolist())
        states = np.array(output.last_hidden_state)
        embedding = states.mean(axis=1)
        with torch.inference_mode():
            if pooler is None:
                pooled = torch.from_numpy(embedding)
            else:
                pooled = pooler(torch.from_numpy(states))
            logits = classifier(pooled)
            if ngrams is not None:
                logits = logits + ngrams(torch.from_numpy(ids), torch.from_numpy(mask))
        return logits.numpy(), embedding

    described: dict[str, Any] = {
        "engine": "CTranslate2",
        "precision": precision,
        "model_bytes": size,
    }
    return RivalEngine(Path(checkpoint), run, described, concurrency)
