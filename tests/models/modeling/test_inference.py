"""Batched inference gives what each row gives alone."""

from pathlib import Path

import numpy as np

from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.inference import predict_logits, token_ids


def test_predictions_do_not_depend_on_their_neighbours(encoder: Path) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling="mean"), seed=5)
    ids = token_ids(tokenizer, ["pena", "vergüenza y rabia y furia", "fiesta"], 24)
    together = predict_logits(model, tokenizer, ids)
    alone = np.concatenate([predict_logits(model, tokenizer, [row]) for row in ids])
    np.testing.assert_allclose(together, alone, atol=1e-6)
