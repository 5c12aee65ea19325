import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from emo_models.checkpoint import load_fusion
from emo_models.cli.evaluate import main as evaluate
from emo_models.labels import LABELS
from emo_models.modeling.load import load_text
from helpers.corpora import DATA, needs
from helpers.emo_train import good, run


@pytest.fixture(scope="module")
def trained(shared_texts: Path, encoder: Path) -> Path:
    tables = ("--train", shared_texts / "train.csv", "--test", shared_texts / "test.csv")
    good(
        "text", *tables, "--encoder", encoder, "--pooling", "mean",
        "--output", shared_texts / "run", "--epochs", 3, "--learning-rate", 5e-3,
    )  # fmt: skip
    return shared_texts / "run"


@pytest.fixture
def text_run(trained: Path, texts: Path) -> Path:
    """A copy of the run that the test may change."""
    return Path(shutil.copytree(trained, texts / "run"))


def test_text_writes_everything(text_run: Path) -> None:
    metrics = json.loads((text_run / "checkpoint" / "metrics.json").read_text())
    assert metrics["rows"] == {"train": 108, "validation": 12}
    (figures,) = metrics["test"].values()
    assert figures["rows"] == 24
    assert len(metrics["epochs"]["loss"]) == 3
    assert (text_run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert list(text_run.glob("confusion_*.png"))
    model = load_text(text_run / "checkpoint").module
    assert list(model.config.id2label.values()) == list(LABELS)
    config = tomllib.loads((text_run / "run.toml").read_text())
    assert config["epochs"] == 3
    assert config["epsilon"] == 1e-9
    assert config["seed"] == 42


def test_a_run_is_repeated_by_its_config(text_run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    good("text", "--config", text_run / "run.toml", "--output", again)
    for name in ("model.safetensors", "metrics.json", "config.json"):
        assert (again / "checkpoint" / name).read_bytes() == (
            text_run / "checkpoint" / name
        ).read_bytes()


def test_a_soup_of_fine_tunings_on_one_split(
    text_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list(text_run.glob("state*"))  # removed at the end
    monkeypatch.setattr("emo_models.runs.text.finish_run", lambda _: None)
    config = text_run / "run.toml"
    good("text", "--config", config, "--soup", 2, "--output", tmp_path / "soup")
    metrics = json.loads((tmp_path / "soup" / "checkpoint" / "metrics.json").read_text())
    alone = json.loads((text_run / "checkpoint" / "metrics.json").read_text())
    assert metrics["rows"] == alone["rows"]
    assert metrics["epochs"] == alone["epochs"]  # the first is the same
    assert len(metrics["soup"]) == 2
    one, two = (
        torch.load(tmp_path / "soup" / name, weights_only=True)["best"]["classifier.weight"]
        for name in ("state.pt", "state1.pt")
    )
    assert not torch.equal(one, two)
    model = load_text(tmp_path / "soup" / "checkpoint").module
    torch.testing.assert_close(model.classifier.weight, (one + two) / 2, rtol=1e-3, atol=1e-4)


def test_a_config_with_an_unknown_option_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("epoch = 3\n")
    result = run("text", "--config", tmp_path / "c.toml")
    assert result.exit_code == 2
    assert "no such option: epoch" in result.output


def test_fusion_with_matched_pairs_answers_with_less(
    text_run: Path, texts: Path, clips: Path
) -> None:
    output = texts / "fusion"
    good(
        "fusion", "--train", texts / "train.csv", "--test", texts / "test.csv", "--clips", clips,
        "--encoder", text_run / "checkpoint", "--output", output, "--epochs", 3,
        "--drop-audio", 0.3, "--drop-text", 0.3, "--standardise", "global",
    )  # fmt: skip
    metrics = json.loads((output / "checkpoint" / "metrics.json").read_text())
    assert "label-matched" in metrics["pairs"]
    endings = sorted(name.rsplit("test", 1)[1] for name in metrics["test"])
    assert endings == ["", "_audio_only", "_text_only"]
    network = load_fusion(output / "checkpoint")
    assert network.config.present_input
    assert float(network.audio_scale) != 1
    # The same report on the checkpoint, through emo-evaluate.
    name = next(name for name in metrics["test"] if name.endswith("test"))
    result = CliRunner().invoke(
        evaluate,
        [
            str(output / "checkpoint"), "--data", str(output / f"pairs_{name}.csv"),
            "--task", "fusion", "--encoder", str(text_run / "checkpoint"), "--json",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    expected = metrics["test"][name]
    assert {key: document[key] for key in ("macro_f1", "confusion", "calibration_error")} == {
        key: expected[key] for key in ("macro_f1", "confusion", "calibration_error")
    }


@pytest.mark.parametrize("variant", ["plain", "attention", "multihead"])
def test_fusion_on_another_corpus(text_run: Path, texts: Path, clips: Path, variant: str) -> None:
    folder = clips.parent
    lines = clips.read_text().splitlines()
    rows = [f"{line},hola {line.split(',')[1]} {i}" for i, line in enumerate(lines[1:])]
    table = folder / "own.csv"
    table.write_text("\n".join([lines[0] + ",text", *rows]) + "\n")
    good(
        "fusion", "--train", table, "--encoder", text_run / "checkpoint", "--n-mfcc", 56,
        "--variant", variant, "--epochs", 2, "--validation-share", 0.2,
        "--output", texts / "own",
    )  # fmt: skip
    network = load_fusion(texts / "own" / "checkpoint")
    assert (network.config.variant, network.config.n_mfcc) == (variant, 56)
    assert not network.config.present_input


def test_evaluate_prints_the_metrics_of_the_run(text_run: Path, texts: Path) -> None:
    picture = texts / "confusion.png"
    result = CliRunner().invoke(
        evaluate,
        [str(text_run / "checkpoint"), "--data", str(texts / "test.csv"), "--json",
         "--png", str(picture)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    metrics = json.loads((text_run / "checkpoint" / "metrics.json").read_text())
    (expected,) = metrics["test"].values()
    for key in ("macro_f1", "macro_f1_interval", "classes", "confusion", "calibration_error"):
        assert document[key] == expected[key]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compare_lists_the_runs(text_run: Path) -> None:
    output = good("compare", text_run, text_run / "checkpoint", "--json")
    rows = json.loads(output)
    assert [row["task"] for row in rows] == ["text", "text"]
    assert rows[0]["parameters"] > 0


def pretrain(output: Path, text: str, *more: object) -> dict[str, object]:
    """Make a vocabulary of ``text`` and pretrain a tiny network on it; the metrics."""
    output.mkdir()
    (output / "corpus.txt").write_text(text)
    good(
        "tokenizer", "--text", output / "corpus.txt", "--vocab-size", 120, "--positions", 16,
        "--output", output / "tokenizer",
    )  # fmt: skip
    good(
        "pretrain", "--text", output / "corpus.txt", "--tokenizer", output / "tokenizer",
        "--output", output, "--hidden", 128, "--layers", 1, "--heads", 2, "--intermediate", 32,
        "--positions", 16, "--sequence-length", 16, "--batch-size", 4, "--tokens", 320, *more,
    )  # fmt: skip
    metrics: dict[str, object] = json.loads((output / "checkpoint/metrics.json").read_text())
    return metrics


def test_pretrain_makes_an_encoder_that_text_takes(tmp_path: Path, texts: Path) -> None:
    metrics = pretrain(tmp_path / "mlm", "qué vergüenza señor ministro\nuna fiesta feliz\n" * 80)
    assert (metrics["transcripts"], metrics["tokens_seen"]) == (0, 320)
    good(
        "text", "--train", texts / "train.csv", "--encoder", tmp_path / "mlm" / "checkpoint",
        "--epochs", 1, "--output", tmp_path / "text",
    )  # fmt: skip
    made = json.loads((tmp_path / "text" / "checkpoint" / "metrics.json").read_text())
    assert made["pretraining"] == metrics


def test_pretrain_reads_the_training_transcripts_too(tmp_path: Path, texts: Path) -> None:
    tables = ("--train", texts / "train.csv", "--exclude", texts / "test.csv")
    text = "qué vergüenza señor ministro\n" * 40
    alone, once, thrice = (
        pretrain(tmp_path / name, text, *more)
        for name, more in (
            ("alone", ()),
            ("once", (*tables, "--transcript-passes", 1)),
            ("thrice", (*tables, "--transcript-passes", 3)),
        )
    )
    assert [run["transcripts"] for run in (alone, once, thrice)] == [0, 120, 120]
    tokens = [int(str(run["corpus_tokens"])) for run in (alone, once, thrice)]
    assert tokens[2] - tokens[0] == 3 * (tokens[1] - tokens[0]) > 0


@needs("beto")
def test_beto_shape_and_vocabulary_are_read_without_weights(tmp_path: Path, texts: Path) -> None:
    small = tmp_path / "beto_cased"
    small.mkdir()
    source = DATA / "beto" / "cased_2M"
    (small / "vocab.txt").write_bytes((source / "vocab.txt").read_bytes())
    config = json.loads((source / "config.json").read_text())
    config |= {"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 32}
    (small / "config.json").write_text(json.dumps(config))
    good(
        "text", "--train", texts / "train.csv", "--encoder", small, "--random-weights",
        "--epochs", 1, "--limit", 60, "--output", tmp_path / "run",
    )  # fmt: skip
    found = load_text(tmp_path / "run" / "checkpoint")
    model, tokenizer = found.module, found.tokenizer
    assert model.config.vocab_size == 31_002
    assert tokenizer("¡Qué día!")["input_ids"][0] == 4  # BETO's [CLS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--train", "absent.csv", "--encoder", "x/y"), "absent.csv: No such file"),
        (("--train", "train.csv", "--encoder", "absent"), "neither a directory nor a Hub id"),
        (("--train", "train.csv", "--test", "train.csv", "--encoder", "x"), "leak"),
    ],
)
def test_bad_input_ends_in_one_line(
    texts: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(texts)
    result = run("text", *arguments, "--output", "run")
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_help_works_without_torch_and_a_run_names_the_extra() -> None:
    program = (
        "import sys\n"
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else real(name, *a)\n"
        "from emo_models.cli.train import main\n"
        "assert not {'torch', 'transformers', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "main(sys.argv[1:])\n"
    )

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        )

    shown = call("text", "--help")
    assert shown.returncode == 0
    assert "3e-06" in shown.stdout
    refused = call("text", "--train", "t.csv", "--encoder", "e", "--output", "o")
    assert refused.returncode == 1
    assert 'pip install "emo-runtime[train]"' in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def table(path: Path, labels: tuple[str, ...], count: int = 12) -> Path:
    lines = [f"{label};una frase {label} {number}" for number in range(count) for label in labels]
    path.write_bytes("\n".join(["emoción;frase", *lines]).encode("cp1252") + b"\n")
    return path


def test_labels_columns_and_encoding_are_free(encoder: Path, tmp_path: Path) -> None:
    own = table(tmp_path / "own.csv", ("Enojo", "alegría", "Señal"))
    columns = ("--text-column", "frase", "--label-column", "emoción", "--label-map", "enojo=Anger")
    output = good(
        "text", "--train", own, "--test", own, "--allow-leak", *columns, "--encoder", encoder,
        "--epochs", 1, "--output", tmp_path / "run", "--batch-size", 4,
    )  # fmt: skip
    assert "fewer than 20 training rows have the label Anger (12), alegría (12)" in output
    assert "without fear" not in output
    found = load_text(tmp_path / "run" / "checkpoint")
    assert found.labels == ("Anger", "alegría", "señal")
    result = CliRunner().invoke(
        evaluate,
        [str(tmp_path / "run/checkpoint"), "--data", str(own), *columns, "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    metrics = json.loads((tmp_path / "run/checkpoint/metrics.json").read_text())
    assert document["confusion"] == next(iter(metrics["test"].values()))["confusion"]
    result = CliRunner().invoke(
        evaluate,
        [str(tmp_path / "run/checkpoint"), "--data", str(own), *columns[:4], "--json"],
    )  # fmt: skip
    assert result.exit_code == 1
    assert "row 1: unknown label 'enojo'" in result.stderr
    ordered = good(
        "text", "--train", own, *columns, "--encoder", encoder, "--labels", "señal,anger,alegria",
        "--epochs", 1, "--output", tmp_path / "ordered",
    )  # fmt: skip
    assert "wrote" in ordered
    assert load_text(tmp_path / "ordered" / "checkpoint").labels == ("señal", "anger", "alegria")


def test_resuming_with_other_options_is_refused_and_run_toml_kept(
    texts: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emo_models.runs.text.finish_run", lambda _: None)
    arguments = ("text", "--train", texts / "train.csv", "--encoder", encoder, "--epochs", 1)
    output = tmp_path / "run"
    good(*arguments, "--output", output)
    before = (output / "run.toml").read_bytes()
    good(*arguments, "--output", output)  # the same run is taken up
    for more, name in ((("--pooling", "mean"), "pooling"), (("--dropout", 0.2), "dropout")):
        result = run(*arguments, *more, "--output", output)
        assert result.exit_code == 1
        assert f"a run with another {name}. Give another --output" in result.output
    changed = (texts / "train.csv").read_text().replace("miedo", "pavor")
    (texts / "train.csv").write_text(changed)
    assert "a run with another rows" in run(*arguments, "--output", output).output
    assert (output / "run.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", 0), "0 is not in the range x>=1"),
        (("--batch-size", 0), "0 is not in the range x>=1"),
        (("--validation-share", 1.0), "1.0 is not in the range 0.0<x<1.0"),
        (("--dropout", 1), "1.0 is not in the range 0.0<=x<1.0"),
    ],
)
def test_numbers_that_make_no_sense_are_wrong_usage(
    arguments: tuple[object, ...], message: str
) -> None:
    result = run("text", "--train", "t.csv", "--encoder", "e", "--output", "o", *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_a_loss_that_is_not_finite_ends_in_one_line(
    texts: Path, encoder: Path, tmp_path: Path
) -> None:
    result = run(
        "text", "--train", texts / "train.csv", "--encoder", encoder, "--learning-rate", 1e30,
        "--epochs", 3, "--output", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "training diverged. Lower --learning-rate" in result.output


def test_a_classifier_of_other_labels_is_an_encoder(
    text_run: Path, texts: Path, encoder: Path, tmp_path: Path
) -> None:
    own = table(tmp_path / "own.csv", ("uno", "dos"))
    columns = ("--text-column", "frase", "--label-column", "emoción")
    good("text", "--train", own, *columns, "--encoder", text_run / "checkpoint", "--epochs", 1,
         "--output", tmp_path / "two")  # fmt: skip
    assert load_text(tmp_path / "two" / "checkpoint").labels == ("dos", "uno")


def test_card_names_what_its_runs_lack(text_run: Path, texts: Path, tmp_path: Path) -> None:
    result = run(
        "card", "--text", text_run, "--fusion", text_run, "--bundle", tmp_path,
        "--output", tmp_path / "CARD.md",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "not a run of `emo-train fusion`" in result.output


def test_compare_shows_names_whole(text_run: Path) -> None:
    output = good("compare", text_run)
    shown = "".join(output.split())
    assert "".join(str(text_run).split()) in shown.replace("│", "") or text_run.name in shown
    for name in ("task", "parameters", "test set", "macro-F1", "labels"):
        assert name in output
    assert "anger, disgust" in output


def test_no_help_has_section_numbers() -> None:
    for command in ("text", "fusion", "pretrain", "tokenizer", "compare", "card"):
        assert "(4." not in good(command, "--help")


def test_a_bad_table_is_reported_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("label;frase\njoy;hola\n")
    program = (
        "import sys\n"
        "from emo_models.cli.train import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "text", "--train", str(tmp_path / "bad.csv"),
         "--encoder", "x", "--output", str(tmp_path / "o")],
        capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
    )  # fmt: skip
    assert "no column 'text'" in done.stderr
    assert "AssertionError" not in done.stderr
    assert not (tmp_path / "o").exists()
