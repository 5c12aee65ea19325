"""Training of a text classifier: it learns, and resumes with the same result."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from emo_models.data.corpora import Row, read_csv
from emo_models.errors import DataError
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.recipes import TextRecipe
from emo_models.training.loop import History
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
