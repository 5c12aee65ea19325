"""The n-gram head inside a text network."""

from pathlib import Path

import torch

from emo_models.checkpoint import save_text
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.load import load_text
from emo_models.modeling.ngrams import NgramHead
from emo_models.modeling.text_classifier import add_ngrams


def test_ngrams_do_not_see_padding_and_travel_in_the_checkpoint(
    tmp_path: Path, encoder: Path
) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling="mean"), seed=3)
    batch = tokenizer(["la pena y la rabia", "vergüenza"], padding=True, return_tensors="pt")
    plain = model.eval()(**batch).logits
    head = NgramHead(64, 6, model.config.vocab_size)
    torch.nn.init.normal_(head.table)
    scores = head(batch["input_ids"], batch["attention_mask"]).detach()
    alone = tokenizer(["vergüenza"], return_tensors="pt")
    torch.testing.assert_close(
        head(**{k: alone[k] for k in ("input_ids", "attention_mask")})[0], scores[1]
    )
    add_ngrams(model, head, 0.5, 2.0)
    torch.testing.assert_close(model(**batch).logits, 0.5 * plain + 2 * scores)
    save_text(tmp_path / "text", model, tokenizer)
    again = load_text(tmp_path / "text").module
    torch.testing.assert_close(again(**batch).logits, model(**batch).logits, atol=0.02, rtol=0.02)
