"""kill -9 at random times during training: files are complete, the result is the same."""

import os
import sys
from pathlib import Path

import pytest

from helpers.processes import run_python

DRIVER = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import torch
from emo_models.data.corpora import read_csv
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.recipes import TextRecipe
from emo_models.training.text import train_text

torch.set_num_threads(1)
encoder, table, run = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
rows = read_csv(table)
recipe = TextRecipe(epochs=6, learning_rate=5e-3, batch_size=16, token_masking=0.1)

def train(run):
    model, tokenizer = new_classifier(encoder, Head(pooling="mean"), seed=5)
    train_text(model, tokenizer, rows, recipe, run=run)
    return model.state_dict()

start = time.monotonic()
expected = train(None)
whole_s = time.monotonic() - start
draw = random.Random(3)
killed = finished = 0
while killed < int(sys.argv[4]):
    child = os.fork()
    if not child:
        train(run)
        os._exit(0)
    time.sleep(draw.uniform(0, 0.6 * whole_s))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    state = run / "state.pt"
    done = len(torch.load(state, weights_only=True)["history"]["losses"]) if state.exists() else 0
    if done == recipe.epochs or killed == int(sys.argv[4]):
        weights = train(run)
        assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
        shutil.rmtree(run)
        finished += 1
print(killed, finished)
"""


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="forks with torch")
@pytest.mark.parametrize("kills", [8, pytest.param(1_000, marks=pytest.mark.endurance)], ids=str)
def test_a_training_killed_at_any_instant_resumes_with_the_same_result(
    encoder: Path, texts: Path, tmp_path: Path, kills: int
) -> None:
    done = run_python(
        "-c",
        DRIVER,
        encoder,
        texts / "train.csv",
        tmp_path / "run",
        str(kills),
        timeout=600 + 20 * kills,
    )
    assert done.returncode == 0, done.stderr
    killed, finished = map(int, done.stdout.split())
    assert killed == kills
    assert finished >= 1
