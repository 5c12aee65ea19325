from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from emo_models.errors import DataError
from emo_models.recipes import PretrainRecipe
from emo_models.training.head_start import SHARP, head_start, sinusoids, word_vectors
from emo_models.training.pretraining import (
    batch_at,
    bert_config,
    learning_rate_share,
    masked_loss,
    pretrain,
)
from emo_models.training.tokenizer import train_tokenizer

RECIPE = PretrainRecipe(
    tokens=16 * 8 * 12,
    sequence_length=16,
    batch_size=8,
    hidden=128,
    layers=1,
    heads=2,
    intermediate=64,
    positions=16,
    bf16=False,
    checkpoint_minutes=0.0,
)
VOCABULARY = 60


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(lambda: ["uno dos tres cuatro cinco seis"] * 3, vocab_size=VOCABULARY)


@pytest.fixture(scope="module")
def ids(tokenizer: Tokenizer) -> np.ndarray:
    return np.random.default_rng(0).integers(5, tokenizer.get_vocab_size(), 3000).astype(np.uint16)


def test_a_pass_shows_every_window_once(ids: np.ndarray) -> None:
    recipe = PretrainRecipe(sequence_length=16, batch_size=4, masked_share=0.2)
    distinct = np.arange(5, 3005, dtype=np.uint16)
    per_pass = (3000 - 14) // 14
    seen = []
    for step in range(per_pass // 4):
        batch = batch_at(distinct, recipe, 3005, step)
        rows = batch.input_ids.clone()
        rows.scatter_(1, batch.places, batch.targets.reshape(4, -1))
        assert (rows[:, 0] == 2).all()
        assert (rows[:, -1] == 3).all()
        assert (rows[:, 1:-1].diff() == 1).all()
        seen.extend(rows[:, 1].tolist())
    assert len(set(seen)) == len(seen)


def test_masks_are_80_10_10() -> None:
    recipe = PretrainRecipe(sequence_length=98, batch_size=256, masked_share=0.25)
    ids = np.full(40_000, 7, dtype=np.uint16)
    batch = batch_at(ids, recipe, 8000, 0)
    assert batch.places.shape == (256, 24)
    shown = batch.input_ids.gather(1, batch.places)
    assert (shown == 4).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (shown == 7).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (batch.targets == 7).all()
    again = batch_at(ids, recipe, 8000, 0)
    assert torch.equal(again.input_ids, batch.input_ids)


def test_loss_of_the_masked_places_is_the_full_models() -> None:
    model = BertForMaskedLM(bert_config(RECIPE, VOCABULARY)).eval()
    ids = np.random.default_rng(1).integers(5, VOCABULARY, 3000).astype(np.uint16)
    batch = batch_at(ids, RECIPE, VOCABULARY, 0)
    labels = torch.full_like(batch.input_ids, -100)
    labels.scatter_(1, batch.places, batch.targets.reshape(batch.places.shape))
    expected = model(input_ids=batch.input_ids, labels=labels).loss
    torch.testing.assert_close(masked_loss(model, batch), expected)


def test_the_learning_rate_rises_and_falls() -> None:
    shares = [learning_rate_share(p, 0.1) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    np.testing.assert_allclose(shares, [0, 0.5, 1, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_killed_run_resumes(
    tmp_path, tokenizer: Tokenizer, ids: np.ndarray, optimizer: str
) -> None:
    recipe = PretrainRecipe(**{**RECIPE.__dict__, "optimizer": optimizer})
    whole, steps = pretrain(ids, tokenizer, recipe, tmp_path / "whole", lambda *_: None)
    assert steps == 12

    def kill(step: int, *_: float) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(ids, tokenizer, recipe, tmp_path / "cut", kill)
    resumed, steps = pretrain(ids, tokenizer, recipe, tmp_path / "cut", lambda *_: None)
    assert steps == 12
    for (name, ours), theirs in zip(
        resumed.state_dict().items(), whole.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_a_state_of_other_text_or_another_recipe_is_refused(
    tmp_path, tokenizer: Tokenizer, ids: np.ndarray
) -> None:
    pretrain(ids, tokenizer, RECIPE, tmp_path, lambda *_: None)
    for other, recipe in ((ids[:-1], RECIPE), (ids, replace(RECIPE, seed=7))):
        with pytest.raises(DataError, match=r"state\.pt: belongs to a run with another recipe"):
            pretrain(other, tokenizer, recipe, tmp_path, lambda *_: None)


def test_too_little_text_is_refused(tmp_path, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="too few"):
        pretrain(np.zeros(20, np.uint16), tokenizer, RECIPE, tmp_path, lambda *_: None)


def test_sharp_positions_distinguish_neighbours() -> None:
    positions = sinusoids(60, 256)[:, : 2 * SHARP]
    np.testing.assert_allclose(positions @ positions.T, SHARP * np.eye(60), atol=1e-3)


def test_words_of_the_same_contexts_get_like_vectors() -> None:
    rng = np.random.default_rng(0)
    # 10 and 11 precede 20 or 21; 12 and 13 precede 30 or 31.
    pairs = [(10, 20), (11, 21), (10, 21), (11, 20), (12, 30), (13, 31), (12, 31), (13, 30)]
    text = np.array([pairs[i] for i in rng.integers(8, size=5000)], dtype=np.uint16).reshape(-1)
    vectors = word_vectors(text, 40, 8, seed=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    assert vectors[10] @ vectors[11] > 0.9
    assert vectors[10] @ vectors[12] < 0.5


def test_first_heads_look_at_a_neighbour(ids: np.ndarray, tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    recipe = PretrainRecipe(layers=1, hidden=256, heads=4, positions=32)
    model = BertForMaskedLM(bert_config(recipe, tokenizer.get_vocab_size())).eval()
    head_start(model, ids, seed=0)
    model.set_attn_implementation("eager")
    sample = torch.from_numpy(ids[:32].astype(np.int64))[None]
    attention = model.bert(sample, output_attentions=True).attentions[0][0]
    places = torch.arange(8, 24)
    for head, offset in enumerate((-1, 1, -2, 2)):
        assert attention[head, places, places + offset].mean() > 0.3
