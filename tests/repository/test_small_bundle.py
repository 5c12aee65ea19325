"""The bundle emo-es-small against the paper's system as a user would have written it."""

import csv
import doctest
import importlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import emo_runtime
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle import reader as bundle_module
from emo_runtime.bundle.reader import open_bundle
from helpers.corpora import CHECKPOINT, CLIPS, DATA, SMALL_BUNDLE, meacorpus_texts, needs, rows
from helpers.processes import run_python
from helpers.seed_system import SeedSystem

LABELS = ["anger", "disgust", "fear", "joy", "neutral", "sadness"]


@pytest.fixture(scope="module")
def seed_system():
    return SeedSystem(CHECKPOINT)


@pytest.fixture(scope="module")
def int8():
    return EmotionRecognizer.open(SMALL_BUNDLE)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory):
    """The same checkpoint, exported without any quantization."""
    directory = tmp_path_factory.mktemp("fp32") / "bundle"
    # The accuracy on these few rows is not looked at here.
    rows = directory.parent / "rows.csv"
    rows.write_text("text,label\nEstoy muy contenta.,joy\nQué miedo.,fear\n", encoding="utf-8")
    export(
        Options(
            sources=Sources(text=str(CHECKPOINT / "text"), fusion=str(CHECKPOINT / "fusion")),
            output=directory,
            identity=Identity("default-fp32", "1.0", "CC-BY-NC-SA-4.0", "Not for sale."),
            precisions=("fp32",),
            evaluate=rows,
            gate=Gate(enforced=False),
        )
    )
    return EmotionRecognizer.open(directory)


def scores(answer):
    assert list(answer.scores) == LABELS
    return np.array(list(answer.scores.values()))


def pairs():
    """100 real transcripts with 100 real clips, spread over both corpora."""
    texts = meacorpus_texts()[::51][:100]
    clips = [DATA / "nemo" / row["file"] for row in rows("nemo/nemo.csv")[::14]][:100]
    return list(zip(texts, clips, strict=True))


def table_of_clips():
    with open(CLIPS / "clips.csv", newline="", encoding="utf-8") as file:
        return [(row["text"], CLIPS / row["audio"]) for row in csv.DictReader(file)]


@needs("meacorpus")
@needs("nemo")
def test_a_hundred_real_pairs(seed_system, fp32, int8, capsys):
    found = pairs()
    assert len(found) == 100
    wanted = np.array([seed_system.task_2(text, clip) for text, clip in found])
    exact = np.array([scores(fp32.recognize(text, clip)) for text, clip in found])
    quantized = np.array([scores(int8.recognize(text, clip)) for text, clip in found])
    same = float((quantized.argmax(1) == wanted.argmax(1)).mean())
    with capsys.disabled():
        print(
            f"\nfusion, 100 real pairs, against PyTorch + librosa + transformers: fp32 differs by "
            f"{np.abs(exact - wanted).max():.2g} at most; int8 agrees on {same:.0%} of the labels, "
            f"differs by {np.abs(quantized - wanted).max():.2g} at most"
        )
    np.testing.assert_allclose(exact, wanted, rtol=0, atol=1e-3)
    assert (exact.argmax(1) == wanted.argmax(1)).all()
    assert same >= 0.95


def test_our_own_clips(seed_system, fp32):
    for text, clip in table_of_clips():
        wanted = seed_system.task_2(text, clip)
        np.testing.assert_allclose(scores(fp32.recognize(text, clip)), wanted, rtol=0, atol=1e-3)
        wanted = seed_system.task_1(text)
        np.testing.assert_allclose(scores(fp32.recognize(text)), wanted, rtol=0, atol=1e-3)


@needs("emospeech")
def test_labels_of_int8_and_fp32_agree_on_the_test_transcripts(fp32, int8, capsys):
    texts = [row["transcription"] for row in rows("emospeech/test.csv")]
    assert len(texts) == 750
    pairs = [(int8.recognize(text), fp32.recognize(text)) for text in texts]
    agreement = sum(ours.label == theirs.label for ours, theirs in pairs) / len(pairs)
    largest = max(np.abs(scores(ours) - scores(theirs)).max() for ours, theirs in pairs)
    with capsys.disabled():
        print(
            f"\ntext, EmoSPeech test: int8 and fp32 agree on {agreement:.2%} of 750 labels, "
            f"largest difference of a probability {largest:.2g}"
        )
    assert agreement >= 0.98


@needs("meacorpus")
def test_fp32_equals_pytorch_on_text(seed_system, fp32):
    for text in meacorpus_texts()[::97]:
        np.testing.assert_allclose(
            scores(fp32.recognize(text)), seed_system.task_1(text), rtol=0, atol=1e-4
        )


def test_the_bundle_is_whole_and_passes_its_self_test():
    open_bundle(SMALL_BUNDLE).verify()
    assert EmotionRecognizer.open(SMALL_BUNDLE).self_test() < 0.05


def test_it_has_all_tasks_and_states_its_licence(int8):
    assert set(int8.tasks) == {"text", "fusion", "audio"}
    assert int8.labels == tuple(LABELS)
    assert "NC" in int8.manifest.licence.weights
    card = (SMALL_BUNDLE / "CARD.md").read_text(encoding="utf-8").lower()
    assert "non-commercial" in card


@needs("emospeech")
def test_emo_evaluate_prints_the_cards_numbers():
    table = DATA / "emospeech" / "test.csv"
    done = run_python("-m", "emo_models.cli.evaluate", SMALL_BUNDLE, "--data", table, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    intervals = (found[f"{name}_interval"] for name in ("macro_f1", "macro_f1_without_fear"))
    six, five = (f"[{low:.3f}, {high:.3f}]" for low, high in intervals)
    figures = (
        f"{found['macro_f1']:.3f} {six} | {found['macro_f1_without_fear']:.3f} {five} | "
        f"{found['accuracy']:.3f}"
    )
    line = f"| EmoSPeech 2024 test (official) | 750 | {figures} |"
    assert line in (SMALL_BUNDLE / "CARD.md").read_text(encoding="utf-8")


def test_its_size():
    files = itertools.chain(SMALL_BUNDLE.rglob("*"), CHECKPOINT.rglob("*"))
    assert sum(file.stat().st_size for file in files) < 60 << 20
    assert sum(file.stat().st_size for file in SMALL_BUNDLE.iterdir()) < 15 << 20


MODULES = sorted(
    ".".join(path.relative_to(Path(emo_runtime.__file__).parents[1]).with_suffix("").parts)
    for path in Path(emo_runtime.__file__).parent.rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings(name, monkeypatch):
    monkeypatch.setattr(bundle_module, "default_bundle", lambda: SMALL_BUNDLE)
    module = importlib.import_module(name.removesuffix(".__init__"))
    assert doctest.testmod(module).failed == 0


def test_at_least_these_examples_were_run():
    finder = doctest.DocTestFinder()
    found = [
        test
        for name in MODULES
        for test in finder.find(importlib.import_module(name.removesuffix(".__init__")))
        if test.examples
    ]
    assert len(found) >= 2


def test_memory_of_a_whole_process(tmp_path):
    """Not the time, which belongs in benchmarks; the memory, which does not depend on load."""
    code = (
        "import resource, sys\n"
        "from emo_runtime import EmotionRecognizer\n"
        "answer = EmotionRecognizer.open(sys.argv[1]).recognize(sys.argv[2], sys.argv[3])\n"
        "import json\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([answer.label, peak]))"
    )
    # ru_maxrss of a fresh process begins at its parent's size when it forked: vfork does not help.
    launcher = (
        "import subprocess, sys; print(subprocess.run([sys.executable, *sys.argv[1:]],"
        " capture_output=True, text=True, check=True).stdout)"
    )
    text, clip = table_of_clips()[0]
    done = run_python("-c", launcher, "-c", code, SMALL_BUNDLE, text, clip)
    assert done.returncode == 0, done.stderr
    label, peak_kilobytes = json.loads(done.stdout)
    assert label in LABELS
    assert peak_kilobytes < 200 * 1024
