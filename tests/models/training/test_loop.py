from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from emo_models.data.corpora import Row, read_csv
from emo_models.data.splits import split_rows
from emo_models.errors import DataError
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.inference import predict_logits, token_ids
from emo_models.recipes import TextRecipe
from emo_models.training.loop import History, averaged, class_weights
from emo_models.training.text import train_text

RECIPE = TextRecipe(
    epochs=6, learning_rate=5e-3, batch_size=8, token_masking=0.1, class_weights="sqrt"
)


def train(
    encoder: Path, rows: list[Row], run: Path | None, recipe: TextRecipe = RECIPE, stop: int = 99
) -> tuple[History, dict[str, torch.Tensor]]:
    """Train a tiny classifier; with ``stop`` as if the process were killed after that epoch."""

    def on_epoch(history: History) -> None:
        if len(history.losses) == stop:
            raise KeyboardInterrupt

    model, tokenizer = new_classifier(str(encoder), Head(pooling="mean"), seed=5)
    history, _ = train_text(model, tokenizer, rows, recipe, run=run, on_epoch=on_epoch)
    return history, model.state_dict()


def test_it_learns_labels_from_words(encoder: Path, texts: Path) -> None:
    history, _ = train(encoder, read_csv(texts / "train.csv"), None)
    assert history.losses[-1] < history.losses[0] / 2
    assert history.best_score > 0.9


def test_a_killed_run_resumes_with_the_same_result(
    encoder: Path, texts: Path, tmp_path: Path
) -> None:
    rows = read_csv(texts / "train.csv")
    whole, expected = train(encoder, rows, None)
    with pytest.raises(KeyboardInterrupt):
        train(encoder, rows, tmp_path / "run", stop=3)
    resumed, weights = train(encoder, rows, tmp_path / "run")
    assert resumed == whole
    for name, tensor in expected.items():
        assert torch.equal(weights[name], tensor), name


def test_a_state_of_another_recipe_is_refused(encoder: Path, texts: Path, tmp_path: Path) -> None:
    rows = read_csv(texts / "train.csv")
    short = replace(RECIPE, epochs=1)
    train(encoder, rows, tmp_path / "run", short)
    with pytest.raises(DataError, match="another recipe or other data"):
        train(encoder, rows, tmp_path / "run", replace(short, learning_rate=1e-3))
    with pytest.raises(DataError, match="another recipe or other data"):
        train(encoder, rows[:-1], tmp_path / "run", short)


def test_predictions_do_not_depend_on_their_neighbours(encoder: Path) -> None:
    model, tokenizer = new_classifier(str(encoder), Head(pooling="mean"), seed=5)
    ids = token_ids(tokenizer, ["pena", "vergüenza y rabia y furia", "fiesta"], 24)
    together = predict_logits(model, tokenizer, ids)
    alone = np.concatenate([predict_logits(model, tokenizer, [row]) for row in ids])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_class_weights_are_scikit_learns() -> None:
    targets = [0] * 50 + [1] * 10 + [2] * 5
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(targets))
    balanced = class_weights(targets, 3, "balanced")
    assert balanced is not None
    np.testing.assert_allclose(balanced.numpy(), expected, rtol=1e-6, atol=1e-7)
    root = class_weights(targets, 4, "sqrt")
    assert root is not None
    assert root[3] == 0
    assert class_weights(targets, 3, "none") is None


def test_a_split_keeps_every_class_on_both_sides_and_is_repeatable() -> None:
    targets = [0] * 100 + [1] * 20 + [2] * 10
    fit, held = split_rows(targets, 0.1, 42)
    assert sorted(fit + held) == list(range(130))
    assert np.bincount([targets[i] for i in held]).tolist() == [10, 2, 1]
    assert (fit, held) == split_rows(targets, 0.1, 42)
    assert held != split_rows(targets, 0.1, 43)[1]
    with pytest.raises(DataError, match="can't be split"):
        split_rows([0, 1], 0.1, 42)


def test_a_soup_is_the_mean_of_the_weights() -> None:
    networks = [torch.nn.BatchNorm1d(3) for _ in range(2)]
    for value, network in enumerate(networks):
        network.weight.data.fill_(value)
        network.num_batches_tracked.fill_(7 + value)
    soup = averaged([network.state_dict() for network in networks])
    assert soup["weight"].tolist() == [0.5] * 3
    assert int(soup["num_batches_tracked"]) == 7
    networks[0].load_state_dict(soup)
