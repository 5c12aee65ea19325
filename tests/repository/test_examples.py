"""The examples run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from emo_runtime import Answer, Cue, Moment, Timings
from helpers.modules import load_module

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def moment(channel: int, anger: float) -> Moment:
    scores = {"anger": anger, "neutral": 1 - anger}
    label = max(scores, key=scores.get)
    answer = Answer("fusion", label, scores[label], scores, 5, 1.0, "CPU", Timings())
    return Moment(Cue(0.0, 1.0, "...", channel=channel), answer)


def test_the_voice_assistant_answers_on_the_way_and_at_the_end():
    lines = run("voice_assistant.py", "--fast").splitlines()
    assert sum(line.endswith("so far") for line in lines) >= 5
    assert "ms after the last packet" in lines[-1]


def test_the_call_centre_shows_every_turn_and_draws_the_call(tmp_path):
    picture = tmp_path / "call.png"
    output = run("call_centre.py", "--plot", str(picture))
    assert output.count("Agente") == 4
    assert output.count("Cliente") == 4
    assert picture.read_bytes().startswith(b"\x89PNG")
    # "¡Eso es mentira! ¡Yo no he contratado nada!" begins at 29.4 s.
    assert "ALERT at 29.4 s" in output


@pytest.mark.parametrize(
    ("angers", "alerts"),
    [
        ([0.1, 0.1, 0.1, 0.1], 0),
        ([0.1, 0.2, 0.7, 0.9], 2),
        ([0.9, 0.7, 0.2, 0.1], 0),
        ([0.9, 0.1, 0.1, 0.9], 1),
    ],
)
def test_an_alert_is_for_a_rise_of_the_customers_anger(angers, alerts):
    rises = load_module(EXAMPLES / "call_centre.py").rises_of_anger
    assert len(list(rises(moment(1, anger) for anger in angers))) == alerts
    assert not list(rises(moment(0, anger) for anger in angers))
