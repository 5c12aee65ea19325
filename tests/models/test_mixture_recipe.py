from pathlib import Path

import pytest

from emo_models.errors import DataError
from emo_models.mixture_recipe import read_mixture_recipe


def recipe(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_values_and_defaults(tmp_path: Path) -> None:
    text = """
    epochs = 2
    [augmentation]
    lower = 0.5
    [preparation]
    lowercase = true
    [sources.one]
    path = "one.csv"
    cap = 100
    label_caps = { neutral = 300 }
    validation_folds = [1]
    """
    found = read_mixture_recipe(recipe(tmp_path / "r.toml", text))
    assert (found.epochs, found.ema, found.preparation.lowercase) == (2, 0.995, True)
    assert (found.augmentation.lower, found.augmentation.recognizer) == (0.5, 0.2)
    source = found.sources["one"]
    assert (source.limit("anger"), source.limit("neutral")) == (100, 300)
    assert source.validation_folds == (1,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "not a TOML file"),
        ("epochs = 2", "missing required field `sources`"),
        ("[sources]", "no corpus"),
        ("epochs = 0\n[sources.a]\npath = 'a'", "Expected `int` >= 1 - at"),
        ("wieght = 1\n[sources.a]\npath = 'a'", "unknown field `wieght`"),
        ("[sources.a]\npath = 'a'\nsmoothing = 1.0", "Expected `float` < 1.0"),
        ("[sources.a]\nweight = 1.0", r"\[sources.a\]: give either path or builtin"),
        ("[sources.a]\npath = 'a'\nbuiltin = 'written'", "give either path or builtin"),
        ("[sources.a]\nbuiltin = 'other'", "Invalid enum value 'other'"),
        ("[sources.a]\npath = 'a'\ntest_folds = [10]", r"below folds \(10\)"),
        ("[sources.a]\npath = 'a'\ntest_folds = [1]\nvalidation_folds = [1]", "different numbers"),
        ("[sources.a]\npath = 'a'\ntrain_split = 'train'", "need each other"),
        ("[sources.a]\npath = 'a'\nsimilar_to = 'b'", "names no source: 'b'"),
    ],
)
def test_mistakes_name_the_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_mixture_recipe(recipe(tmp_path / "r.toml", text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_mixture_recipe(tmp_path / "none.toml")


def test_the_recipes_that_ship_are_valid() -> None:
    folder = Path(__file__).parents[2] / "models" / "checkpoints"
    for name in ("emo-es", "emo-es-research"):
        read_mixture_recipe(folder / name / "text.toml")
