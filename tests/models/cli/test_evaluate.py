"""emo-evaluate on a bundle, without the libraries of training."""

import json
from pathlib import Path

from emo_runtime import EmotionRecognizer
from helpers.corpora import ROOT
from helpers.processes import run_python

SMALL_BUNDLE = ROOT / "models/emo_models/bundles/emo_es_small"
ROWS = {
    "¡Esto es una vergüenza!": "anger",
    "Me alegro mucho por ti.": "joy",
    "Lo echo de menos.": "sadness",
    "La reunión es el martes.": "neutral",
}
WITHOUT = """
import sys
blocked = {"torch", "transformers", "safetensors", "sklearn", "scipy", "librosa", "onnx"}
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from emo_models.cli.evaluate import main
main(sys.argv[1:])
"""


def test_a_bundle_is_evaluated_without_pytorch(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    lines = ["text,label", *(f"{text},{label}" for text, label in ROWS.items())]
    table.write_text("\n".join(lines), encoding="utf-8")
    done = run_python("-c", WITHOUT, SMALL_BUNDLE, "--data", table, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    with EmotionRecognizer.open(SMALL_BUNDLE) as recognizer:
        labels = recognizer.labels
        expected = [[0] * len(labels) for _ in labels]
        for text, label in ROWS.items():
            answer = recognizer.recognize(text)
            expected[labels.index(label)][labels.index(answer.label)] += 1
    assert document["confusion"] == expected
    assert document["rows"] == len(ROWS)


def test_a_checkpoint_needs_pytorch(tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("text,label\nMe alegro.,joy\n", encoding="utf-8")
    checkpoint = ROOT / "models/checkpoints/emo-es-small/text"
    hidden = WITHOUT.replace("from emo_models", "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in blocked else found(name)\n"
        "from emo_models", 1)  # fmt: skip
    done = run_python("-c", hidden, checkpoint, "--data", table)
    assert done.returncode == 1
    assert 'pip install "emo-runtime[train]"' in done.stderr
