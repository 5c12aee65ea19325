"""The longest text of each architecture, against what its network accepts."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from emo_models.modeling.positions import max_tokens

SMALL = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("bert", {}, 20),
        ("electra", {"embedding_size": 16}, 20),
        ("albert", {"embedding_size": 16}, 20),
        ("distilbert", {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}, 20),
        ("roberta", {"pad_token_id": 1}, 18),
        ("camembert", {"pad_token_id": 1}, 18),
        ("xlm-roberta", {"pad_token_id": 1}, 18),
        ("mpnet", {"pad_token_id": 1}, 18),
    ],
)
def test_the_longest_text_fits_and_one_more_token_does_not(
    kind: str, more: dict[str, int], expected: int
) -> None:
    shape = {
        key: value for key, value in SMALL.items() if kind != "distilbert" or key == "vocab_size"
    }
    config = AutoConfig.for_model(kind, max_position_embeddings=20, **shape, **more)
    limit = max_tokens(config)
    assert limit == expected
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        model(input_ids=torch.full((1, limit), 7))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 7))
