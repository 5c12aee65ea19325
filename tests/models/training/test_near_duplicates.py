"""Similarities of sentences, against transformers and numpy."""

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, BertModel

from emo_models.training.near_duplicates import largest_similarities


def test_similarities_are_cosines_of_mean_states(encoder: Path) -> None:
    network = BertModel.from_pretrained(encoder, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    texts, others = ["miedo pánico", "fiesta"], ["fiesta", "informe lunes reunión"]

    def embed(text: str) -> np.ndarray:
        ids = tokenizer(f"query: {text}", return_tensors="pt")
        state = network(**ids).last_hidden_state[0].mean(0).detach().numpy()
        return state / np.linalg.norm(state)

    wanted = [max(float(embed(text) @ embed(other)) for other in others) for text in texts]
    found = largest_similarities(network, tokenizer, texts, others)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert found[1] == pytest.approx(1, abs=1e-5)
