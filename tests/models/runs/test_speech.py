"""``emo-train speech`` on a tiny Whisper and synthetic clips."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from emo_models.checkpoint import load_speech
from emo_models.cli.train import main
from emo_models.errors import CheckpointError
from emo_models.evaluation.leave_one_corpus_out import profiles
from emo_models.modeling.whisper import load_whisper_encoder

SMALL = ("--epochs", 1, "--copies", 1, "--batch-size", 8)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["speech", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def finished(
    speech_tables: tuple[Path, Path], whisper: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("speech") / "run"
    first, second = speech_tables
    result = run(
        "--train", first, "--train", second, "--encoder", whisper, "--base", "a/whisper",
        "--layers", 3, "--fine-tune", 2, "--leave-one-out", "--output", output, *SMALL,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "leave_one_corpus_out second (telephone): macro-F1 n=0 " in result.output
    return output


def test_metrics_of_every_corpus_condition_and_profile(finished: Path) -> None:
    metrics = json.loads((finished / "checkpoint" / "metrics.json").read_text())
    assert metrics["rows"] == {"first": 27, "second": 27}
    assert metrics["speakers"] == 6
    assert metrics["labels"] == ["anger", "joy", "neutral"]
    assert metrics["temperature"] > 0
    assert not metrics["notes"]
    table = metrics["leave_one_corpus_out"]
    assert list(table) == ["clean", "telephone"]
    for corpora in table.values():
        assert list(corpora) == ["first", "second", "mean"]
        for figures in corpora.values():
            assert list(figures) == list(profiles(metrics["labels"]))
        mean = (corpora["first"]["n=5"]["macro_f1"] + corpora["second"]["n=5"]["macro_f1"]) / 2
        assert corpora["mean"]["n=5"]["macro_f1"] == pytest.approx(mean)


def test_the_checkpoint_needs_its_base(finished: Path, whisper: Path, tmp_path: Path) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(finished / "checkpoint", copy)
    with pytest.raises(CheckpointError, match="needs the weights of a/whisper"):
        load_speech(copy)
    shutil.copytree(whisper, copy / "base")
    network = load_speech(copy)
    base = load_whisper_encoder(whisper, layers=3, labels=network.config.labels).encoder
    assert torch.equal(network.encoder.layers[0].fc1.weight, base.layers[0].fc1.weight)
    assert not torch.equal(network.encoder.layers[2].fc1.weight, base.layers[2].fc1.weight)
    config = json.loads((copy / "config.json").read_text())
    assert config["adaptation_weight"] == 4.0
    assert config["front_end"]["level"] == {"target_dbfs": -23.0, "max_gain_db": 60.0}
    assert config["front_end"]["max_s"] == pytest.approx(1.2)


def test_nothing_but_the_run_is_left(finished: Path) -> None:
    assert sorted(path.name for path in finished.iterdir()) == [
        "checkpoint",
        "features",
        "run.toml",
    ]
    assert tomllib.loads((finished / "run.toml").read_text())["fine_tune"] == 2


def test_a_run_is_repeated_by_its_config(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    result = run("--config", finished / "run.toml", "--output", again, "--cache",
                 finished / "features")  # fmt: skip
    assert result.exit_code == 0, result.output
    for name in ("model.safetensors", "metrics.json", "config.json"):
        assert (again / "checkpoint" / name).read_bytes() == (
            finished / "checkpoint" / name
        ).read_bytes()


def test_an_interrupted_run_is_resumed_by_itself_only(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, cache = tmp_path / "run", finished / "features"
    arguments = ("--config", finished / "run.toml", "--output", output, "--cache", cache)
    with monkeypatch.context() as patch:
        patch.setattr("emo_models.runs.speech.save_speech", _fail)
        assert "full disk" in run(*arguments).output
    assert len(list(output.glob("state-*.pt"))) == 3
    result = run(*arguments, "--seed", 1)
    assert result.exit_code != 0
    assert "another seed" in result.output
    assert run(*arguments).exit_code == 0
    assert not list(output.glob("state*"))
    assert (output / "checkpoint" / "model.safetensors").read_bytes() == (
        finished / "checkpoint" / "model.safetensors"
    ).read_bytes()


def test_test_tables_and_a_head_without_fine_tuning(
    speech_tables: tuple[Path, Path], whisper: Path, tmp_path: Path
) -> None:
    first, second = speech_tables
    result = run(
        "--train", first, "--test", second, "--encoder", whisper, "--fine-tune", 0,
        "--output", tmp_path / "run", *SMALL,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "not calibrated" in result.output
    metrics = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert metrics["temperature"] == 1.0
    assert metrics["test"]["clean"]["second"]["n=0"]["macro_f1"] > 0.5
    load_speech(tmp_path / "run" / "checkpoint")  # a directory without --base: all tensors


def test_a_network_from_scratch(speech_tables: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = speech_tables
    result = run(
        "--train", first, "--test", second, "--from-scratch", "--layers", 2, "--width", 16,
        "--heads", 2, "--time-mask", 0.2, "--channel-mask", 0.2, "--learning-rate", 3e-3,
        "--output", tmp_path / "run", *SMALL, "--epochs", 6,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    network = load_speech(tmp_path / "run" / "checkpoint")
    assert (network.config.layers, network.config.width, network.config.inner) == (2, 16, 64)
    metrics = json.loads((tmp_path / "run" / "checkpoint" / "metrics.json").read_text())
    assert metrics["recipe"]["channel_mask"] == 0.2
    # A constant answer has a macro-F1 of 1/6.
    assert metrics["test"]["clean"]["second"]["n=5"]["macro_f1"] > 0.5


@pytest.mark.parametrize("options", [(), ("--from-scratch", "--encoder", "a/whisper")])
def test_an_encoder_or_none(
    speech_tables: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    result = run("--train", speech_tables[0], "--output", tmp_path / "run", *options)
    assert result.exit_code == 2
    assert "give either --encoder or --from-scratch" in result.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--leave-one-out",), "needs two or more tables"),
        (("--fine-tune", 4), "the network has 3 layers"),
        (("--layers", 7), "Give --layers 3 or fewer"),
        (("--labels", "anger,joy"), "unknown label 'neutral'"),
    ],
)
def test_wrong_options_end_in_one_line(
    speech_tables: tuple[Path, Path],
    whisper: Path,
    tmp_path: Path,
    more: tuple[object, ...],
    message: str,
) -> None:
    result = run("--train", speech_tables[0], "--encoder", whisper, "--output", tmp_path / "run",
                 *more)  # fmt: skip
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_a_training_clip_is_not_tested_on(
    speech_tables: tuple[Path, Path], whisper: Path, tmp_path: Path
) -> None:
    first, _ = speech_tables
    result = run("--train", first, "--test", first, "--encoder", whisper, "--output",
                 tmp_path / "run")  # fmt: skip
    assert "is also a training clip" in result.output


def _fail(*arguments: object, **more: object) -> None:
    raise OSError("full disk")
