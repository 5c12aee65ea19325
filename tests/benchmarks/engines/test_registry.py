"""Rivals answer as the checkpoint does; those that are not installed are gaps with their names."""

import importlib.util
import json
import shutil

import numpy as np
import pytest

from emo_bench.engines.registry import RIVALS, open_engine
from emo_bench.engines.torch_stack import RivalEngine
from emo_bench.workload import Sample
from emo_runtime import EmoError
from helpers.corpora import CHECKPOINT, CLIPS
from helpers.seed_system import SeedSystem

TEXT = "¡Llevo tres semanas esperando una solución!"
CLIP = CLIPS / "queja.flac"
OPTIONS = {"checkpoint": str(CHECKPOINT), "threads": 1, "serving": False}
# int8 rivals may differ as much as the self-test lets int8 differ.
TOLERANCES = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.05}


def installed(name):
    return all(importlib.util.find_spec(module) for module in RIVALS[name].needs)


@pytest.fixture(scope="module")
def seed_system():
    return SeedSystem(CHECKPOINT)


@pytest.mark.filterwarnings("ignore")  # warnings of these libraries
@pytest.mark.parametrize("name", [n for n in RIVALS if n not in {"openvino-nncf-int8"}])
def test_a_rival_computes_what_the_checkpoint_says(name, seed_system):
    if not installed(name):
        pytest.skip(f"{name}: not installed here")
    engine = open_engine(name, OPTIONS)
    tolerance = TOLERANCES[RIVALS[name].precision]
    alone = engine.answer(Sample(TEXT, None))
    both = engine.answer(Sample(TEXT, CLIP.read_bytes()))
    for outcome, wanted in (
        (alone, seed_system.task_1(TEXT)),
        (both, seed_system.task_2(TEXT, CLIP)),
    ):
        np.testing.assert_allclose(list(outcome.scores.values()), wanted, rtol=0, atol=tolerance)
        assert outcome.tokens > 5
    assert set(alone.phases) == {"tokenize", "text", "total"}
    assert set(both.phases) == {"decode", "front_end", "tokenize", "text", "fusion", "total"}
    assert engine.concurrency == 1
    engine.close()


def test_a_multi_label_checkpoint_has_independent_scores(tmp_path):
    shutil.copytree(CHECKPOINT / "text", tmp_path / "text")
    path = tmp_path / "text" / "config.json"
    config = json.loads(path.read_text())
    config |= {"problem_type": "multi_label_classification", "temperature": 2.0}
    path.write_text(json.dumps(config))
    logits = np.linspace(-3, 3, len(config["id2label"]), dtype=np.float32)[np.newaxis]
    engine = RivalEngine(
        tmp_path, lambda _ids, _mask: (logits, np.zeros((1, 1), np.float32)), {}, 1
    )
    scores = list(engine.answer(Sample(TEXT, None)).scores.values())
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits[0] / 2)), rtol=1e-6)


def test_a_rival_that_is_not_installed_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ctranslate2" else find(name)
    )
    with pytest.raises(EmoError, match=r"^ctranslate2 is not installed\.$"):
        open_engine("ctranslate2-int8", OPTIONS)


def test_an_unknown_engine():
    with pytest.raises(EmoError, match="unknown engine 'nobody'"):
        open_engine("nobody", {})
