"""``emo-train text-mixture`` and ``emo-train soup`` with a tiny encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from emo_models.labels import LABELS
from emo_models.mixture_recipe import MixtureRecipe, SoftLabels, Source, TextAugmentation
from emo_models.modeling.inference import predict_logits, token_ids
from emo_models.modeling.load import load_text
from helpers.emo_train import good, run
from helpers.markdown import read_blocks

WORDS = {
    "anger": "furia rabia", "disgust": "asco mentira", "fear": "miedo terror",
    "joy": "fiesta feliz", "neutral": "informe lunes", "sadness": "pena llanto",
}  # fmt: skip
RECIPE = """
epochs = 4
learning_rate = 1e-2
head_rate = 2.0
row_limit = 6
warmup_share = 0.1
ema = 0.5
token_masking = 0.0
token_limit = 400
bf16 = false
tests = {{ official = "{folder}/test.csv" }}

[sources.texts]
path = "{folder}/train.csv"
folds = 5
validation_folds = [0]

[sources.again]
path = "{folder}/more.csv"
weight = 0.5
cap = 5
join = 0.5
"""


DOCUMENT = Path(__file__).parents[3] / "docs" / "models" / "text-mixture.md"


@pytest.fixture
def recipe(texts: Path) -> Path:
    train = (texts / "train.csv").read_text(encoding="utf-8")
    more = train.replace("train-", "more-").replace("train ", "otra vez ")
    (texts / "more.csv").write_text(more, encoding="utf-8")
    path = texts / "text.toml"
    path.write_text(RECIPE.format(folder=texts), encoding="utf-8")
    return path


@pytest.fixture
def finished(recipe: Path, encoder: Path) -> Path:
    output = recipe.parent / "run"
    printed = good("text-mixture", recipe, "--encoder", encoder, "--output", output,
                   "--report-tests")  # fmt: skip
    assert "official: macro-F1 " in printed
    return output


def weights(directory: Path) -> dict[str, np.ndarray]:
    return {name: value.float().numpy()
            for name, value in load_file(directory / "model.safetensors").items()}  # fmt: skip


def test_a_run_learns_and_writes_everything(finished: Path, recipe: Path, encoder: Path) -> None:
    metrics = json.loads((finished / "checkpoint" / "metrics.json").read_text())
    assert metrics["labels"] == list(LABELS)
    held = metrics["rows"]["validation"]["texts"]
    assert metrics["rows"]["train"] == {"texts": 120 - held, "again": 120}
    assert list(metrics["validation"]) == ["texts"]
    assert metrics["test"]["official"]["macro_f1"] > 0.6
    assert len(metrics["epochs"]["loss"]) == 4
    assert metrics["epochs"]["loss"][3] < metrics["epochs"]["loss"][0]
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoint", "confusion_official.png", "curve.png", "recipe.toml", "rows_official.csv",
        "rows_validation_texts.csv",
    ]  # fmt: skip
    assert (finished / "recipe.toml").read_text().endswith(recipe.read_text())
    checkpoint = load_text(finished / "checkpoint")
    assert (checkpoint.pooling, checkpoint.labels) == ("mean", LABELS)
    tuned, before = weights(finished / "checkpoint"), weights(encoder)
    table = "embeddings.word_embeddings.weight"
    np.testing.assert_array_equal(tuned[f"bert.{table}"], before[table])
    query = "encoder.layer.1.attention.self.query.weight"
    assert np.abs(tuned[f"bert.{query}"] - before[query]).max() > 1e-3


def test_an_interrupted_run_ends_with_the_same_weights(
    finished: Path, recipe: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = recipe.parent / "interrupted"
    arguments = (recipe, "--encoder", encoder, "--output", output, "--report-tests")
    with monkeypatch.context() as patch:
        scores = iter([0.5])  # the second epoch is interrupted
        patch.setattr("emo_models.runs.mixture.macro_f1", lambda *_: next(scores))
        assert run("text-mixture", *arguments).exit_code != 0
    assert (output / "state.pt").exists()
    result = run("text-mixture", *arguments, "--seed", 5)
    assert result.exit_code == 1
    assert "another seed" in result.output
    good("text-mixture", *arguments)
    assert not list(output.glob("state*"))
    wanted = weights(finished / "checkpoint")
    for name, value in weights(output / "checkpoint").items():
        np.testing.assert_array_equal(value, wanted[name])


def test_training_goes_on_from_a_checkpoint(finished: Path, recipe: Path) -> None:
    text = recipe.read_text().replace("epochs = 4", "epochs = 1").replace("1e-2", "1e-4")
    text += '\n[sources.own]\nbuiltin = "synthetic"\ncap = 5\nvalidation_folds = [0]\n'
    again = recipe.with_name("again.toml")
    again.write_text(text + "calibrate = false\n")
    good("text-mixture", again, "--checkpoint", finished / "checkpoint", "--output",
         recipe.parent / "again", "--report-tests")  # fmt: skip
    metrics = json.loads((recipe.parent / "again" / "checkpoint" / "metrics.json").read_text())
    assert metrics["test"]["official"]["macro_f1"] > 0.6  # the head was kept
    assert set(metrics["validation"]) == {"texts", "own"}


def test_first_layers_only(recipe: Path, encoder: Path) -> None:
    text = recipe.read_text().replace("epochs = 4", "epochs = 1\nlayers = 1\nfrozen_layers = 1")
    recipe.write_text(text)
    output = recipe.parent / "small"
    good("text-mixture", recipe, "--encoder", encoder, "--output", output)
    tuned, before = weights(output / "checkpoint"), weights(encoder)
    assert not [name for name in tuned if ".layer.1." in name]
    name = "encoder.layer.0.output.dense.weight"
    np.testing.assert_array_equal(tuned[f"bert.{name}"], before[name])  # frozen
    metrics = json.loads((output / "checkpoint" / "metrics.json").read_text())
    assert metrics["test"] == {}  # without --report-tests


def test_a_soup_is_the_weighted_mean(finished: Path, recipe: Path, encoder: Path) -> None:
    other = recipe.parent / "other"
    good("text-mixture", recipe, "--encoder", encoder, "--seed", 3, "--output", other)
    table = finished / "rows_validation_texts.csv"
    soup = recipe.parent / "soup"
    printed = good("soup", soup, finished, other / "checkpoint", "--weight", 3, "--weight", 1,
                   "--prior", "neutral=2", "--validation", table)  # fmt: skip
    assert "rows_validation_texts: macro-F1 " in printed
    one, two, mean = (weights(path) for path in (finished / "checkpoint", other / "checkpoint",
                                                 soup))  # fmt: skip
    assert not np.array_equal(one["classifier.weight"], two["classifier.weight"])
    for name, value in mean.items():
        wanted = 0.75 * one[name] + 0.25 * two[name]
        if name == "classifier.bias":
            wanted[LABELS.index("neutral")] += np.log(2)
        np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=1e-4)
    metrics = json.loads((soup / "metrics.json").read_text())
    assert [entry["weight"] for entry in metrics["soup"]] == [0.75, 0.25]
    assert metrics["temperature"] == load_text(soup).temperature > 0


def test_the_temperature_of_a_soup_without_tables(finished: Path, recipe: Path) -> None:
    soup = recipe.parent / "soup"
    good("soup", soup, finished, finished)
    assert load_text(soup).temperature == pytest.approx(
        load_text(finished / "checkpoint").temperature
    )
    good("soup", soup, finished, "--temperature", 1.5)
    assert load_text(soup).temperature == 1.5


def test_what_can_not_be_averaged(finished: Path, recipe: Path, encoder: Path) -> None:
    recipe.write_text(recipe.read_text().replace("epochs = 4", "epochs = 1\nlayers = 1"))
    other = recipe.parent / "other"
    good("text-mixture", recipe, "--encoder", encoder, "--output", other)
    for more, message in (
        ((other,), "has other shapes than"),
        ((finished, "--weight", 1), "2 checkpoints and 1 weights"),
        ((finished, "--prior", "hope=2"), "--prior: unknown label 'hope'"),
        ((finished, "--prior", "joy=-1"), "expected LABEL=FACTOR"),
    ):
        result = run("soup", recipe.parent / "soup", finished, *more)
        assert result.exit_code == 1
        assert message in result.output
    assert not (recipe.parent / "soup").exists()


def test_translations_of_held_out_rows_are_left_out(recipe: Path, encoder: Path) -> None:
    text = recipe.read_text().replace("epochs = 4", "epochs = 1")
    recipe.write_text(text + 'similar_to = "texts"\nlargest_similarity = -1.0\n')
    output = recipe.parent / "strict"
    good("text-mixture", recipe, "--encoder", encoder, "--output", output)
    metrics = json.loads((output / "checkpoint" / "metrics.json").read_text())
    assert "again" not in metrics["rows"]["train"]
    assert "120 of 120 training rows are left out" in metrics["notes"][-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs = 4", "epochs = 4\nlayers = 3"), "the encoder has 2 layers"),
        (("epochs = 4", 'epochs = 3\nlabels = ["anger", "joy"]'), "unknown label"),
        (("learning_rate = 1e-2", "learning_rate = 1e30"), "training diverged"),
    ],
)
def test_mistakes_end_in_one_line(
    recipe: Path, encoder: Path, change: tuple[str, str], message: str
) -> None:
    recipe.write_text(recipe.read_text().replace(*change))
    result = run("text-mixture", recipe, "--encoder", encoder, "--output", recipe.parent / "run")
    assert result.exit_code == 1
    assert message in result.output


def test_the_start_must_be_one_and_fit(finished: Path, recipe: Path, tmp_path: Path) -> None:
    assert run("text-mixture", recipe, "--output", tmp_path / "x").exit_code == 2
    text = 'labels = ["sadness", "neutral", "joy", "fear", "disgust", "anger"]\n'
    recipe.write_text(text + recipe.read_text())
    result = run("text-mixture", recipe, "--checkpoint", finished / "checkpoint", "--output",
                 tmp_path / "x")  # fmt: skip
    assert result.exit_code == 1
    assert "has the labels anger" in result.output


def test_the_bundle_reads_what_was_trained(finished: Path) -> None:
    """The written checkpoint gives the logits that its metrics were measured with."""
    checkpoint = load_text(finished / "checkpoint")
    rows = (finished / "rows_official.csv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [row.split(",", 2)[2] for row in rows]
    wanted = [LABELS.index(row.split(",")[1]) for row in rows]
    ids = token_ids(checkpoint.tokenizer, texts, checkpoint.max_tokens)
    found = predict_logits(checkpoint.module, checkpoint.tokenizer, ids).argmax(1)
    metrics = json.loads((finished / "checkpoint" / "metrics.json").read_text())
    assert (found == wanted).mean() == pytest.approx(metrics["test"]["official"]["accuracy"],
                                                     abs=1e-4)  # fmt: skip


def test_the_commands_of_the_document(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, commands = read_blocks(DOCUMENT)[:2]
    Path("recipe.toml").write_text(recipe.code, encoding="utf-8")
    rows = [f"{words},{label},s{i}" for i in range(8) for label, words in WORDS.items()]
    Path("calls.csv").write_text("\n".join(["text,label,speaker", *rows]), encoding="utf-8")
    Path("calls-test.csv").write_text("text,label\nun lunes,neutral\n", encoding="utf-8")
    for line in commands.code.replace("ENCODER", str(encoder)).splitlines():
        program, command, *arguments = line.split()
        assert program == "emo-train"
        good(command, *arguments)
    assert load_text("model").labels == LABELS


def test_the_document_has_every_key() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for struct in (MixtureRecipe, Source, TextAugmentation, SoftLabels):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in text or name == "sources", name
