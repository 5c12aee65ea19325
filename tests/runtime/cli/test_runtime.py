"""emo-runtime "texto": one sentence, from arguments or standard input."""

import json

import pytest
from click.testing import CliRunner

from emo_runtime import EmotionRecognizer
from emo_runtime.cli.runtime import main
from helpers.processes import run_python


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return tiny_bundle()


@pytest.mark.parametrize("words", [["no puedo más"], ["no", "puedo", "más"]])
def test_a_sentence(bundle, words):
    result = CliRunner().invoke(main, [*words, "--bundle", str(bundle), "--json"])
    assert result.exit_code == 0, result.output
    with EmotionRecognizer.open(bundle) as recognizer:
        assert json.loads(result.stdout)["scores"] == recognizer.recognize("no puedo más").scores


def test_standard_input_and_the_module(bundle):
    done = run_python("-m", "emo_runtime", "--bundle", bundle, "--json", stdin="no puedo más\n")
    assert done.returncode == 0, done.stderr
    with EmotionRecognizer.open(bundle) as recognizer:
        assert json.loads(done.stdout)["scores"] == recognizer.recognize("no puedo más\n").scores


def test_for_people(bundle):
    result = CliRunner().invoke(main, ["hola", "--bundle", str(bundle)])
    assert result.exit_code == 0
    assert "task text" in result.stdout


def test_an_empty_sentence_is_one_line(bundle):
    result = CliRunner().invoke(main, ["", "--bundle", str(bundle)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
