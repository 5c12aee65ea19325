"""emo-bundle: inspect and verify."""

import json

import pytest
from click.testing import CliRunner

from emo_runtime.cli.bundle import main
from helpers.mutate import edit_manifest, flip_byte, replace_file
from helpers.processes import run_python


def run(*arguments):
    return CliRunner().invoke(main, [str(item) for item in arguments])


def test_inspect_shows_what_people_ask_for(own_bundle):
    path = own_bundle(separate_encoder=True, present_input=True)

    def report(document):
        document["verification"] = {"text": {"label_agreement": 0.99}, "clips": [1, 2]}

    edit_manifest(path, report)
    result = run("inspect", path)
    assert result.exit_code == 0
    for shown in (
        "tiny 1.0.0",
        str(path),
        "anger, disgust, fear, joy, neutral, sadness",
        "CC0-1.0 (weights): Random numbers.",
        "task fusion",
        "fusion + encoder; temperature 0.8; text preparation: strip",
        "mean_mfcc, 22,050 Hz",
        "encoder.fp32.onnx",
        "label_agreement: 0.99",
        "clips: 1, 2",
    ):
        assert shown in result.stdout


def test_inspect_as_json_is_the_manifest(tiny_bundle):
    path = tiny_bundle()
    found = json.loads(run("inspect", path, "--json").stdout)
    assert found == json.loads((path / "manifest.json").read_text())


def test_verify(tiny_bundle):
    result = run("verify", tiny_bundle())
    assert (result.exit_code, result.stderr) == (0, "")
    assert "5 files match the manifest" in result.stdout
    assert "Self-test passed" in result.stdout
    assert "fusion fp32 on CPUExecutionProvider" in result.stdout


def test_verify_as_json(tiny_bundle):
    document = json.loads(run("verify", tiny_bundle(), "--json").stdout)
    assert document["files"] == 5
    assert document["largest_difference"] < 1e-4
    assert document["graphs"]["text"]["precision"] == "fp32"


def test_verify_finds_damage_in_a_file_that_no_answer_needs(own_bundle):
    path = own_bundle()
    flip_byte(path / "CARD.md", 3)
    result = run("verify", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: CARD.md: sha256 differs")


def test_a_machine_that_computes_something_else_is_a_gate(own_bundle):
    path = own_bundle()
    golden = json.loads((path / "golden.json").read_text())
    golden["cases"][0]["probabilities"].reverse()
    replace_file(path, "golden.json", json.dumps(golden).encode())
    result = run("verify", path)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "self-test of task 'text'" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_no_bundle(tmp_path, command):
    result = run(command, tmp_path / "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["verify", "a", "b"], ["verify", "--threads", "x"]]
)
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


def test_the_process_itself(tiny_bundle):
    done = run_python("-m", "emo_runtime.cli.bundle", "verify", tiny_bundle())
    assert (done.returncode, done.stderr) == (0, "")
    done = run_python("-m", "emo_runtime.cli.bundle", "verify", "nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
