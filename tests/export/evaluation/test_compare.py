"""The measures, the rows they are taken on, and the golden cases."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from emo_export.evaluation.compare import compare
from emo_export.evaluation.gate import GateError, missed, require, unfit_rows
from emo_export.evaluation.reference import Answers
from emo_export.evaluation.rows import golden_clip, read_rows, shipped_sentences
from emo_export.options import Gate
from emo_export.packaging.golden import CASES_PER_TASK, STEADY, golden_cases
from emo_models.evaluation.metrics import macro_f1, softmax
from emo_models.labels import LABELS
from emo_runtime.bundle.manifest import Audio
from emo_runtime.errors import EmoError
from helpers.corpora import meacorpus_texts, needs


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=50))
def test_macro_f1_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    expected, answered = (np.array(column) for column in zip(*pairs, strict=True))
    theirs = f1_score(expected, answered, average="macro", zero_division=0)
    assert macro_f1(expected, answered, 6) == pytest.approx(theirs)


def test_comparison_of_known_logits() -> None:
    reference = np.log(np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], np.float32))
    found = np.log(np.array([[0.7, 0.3], [0.55, 0.45], [0.3, 0.7]], np.float32))
    labels = np.array([0, 1, 1])
    result = compare("text", "int8", reference, found, temperature=1.0, label_ids=labels)
    assert result.agreement == pytest.approx(2 / 3)
    assert result.largest_probability_difference == pytest.approx(0.15, abs=1e-6)
    assert result.reference_macro_f1 == 1
    assert result.macro_f1 == pytest.approx(2 / 3)
    reasons = missed([result], Gate(0.99, 0.005))
    assert [reason.split(":")[0] for reason in reasons] == ["task text, int8"] * 3
    assert result.mean_probability_difference == pytest.approx(0.25 / 3, abs=1e-6)
    assert (result.labels, result.largest_share) == (2, pytest.approx(2 / 3))
    assert not missed([result], Gate(0.6, 0.4, 0.1))


def test_agreement_on_a_single_label_is_refused() -> None:
    reference = np.zeros((100, 3), np.float32)
    reference[:, 1] = 2
    same = compare("text", "int8", reference, reference, temperature=1.0)
    assert same.agreement == 1
    assert not missed([same], Gate())
    assert (
        "gives 100.0% of some rows the same label (1 of its" in unfit_rows([same], "some rows")[0]
    )
    with pytest.raises(GateError, match="Give more or labelled rows"):
        require([same], Gate(), evaluated="some rows")
    require([same], Gate(enforced=False), evaluated="some rows")
    reference[:6, 1] = -2
    require([compare("text", "int8", reference, reference, temperature=1.0)], Gate(), evaluated="")
    own = compare(
        "text", "int8", reference[6:], reference[6:], temperature=1.0, own_labels=True,
        label_ids=np.ones(94, np.int64),
    )  # fmt: skip
    require([own], Gate(), evaluated="some rows")
    silent = replace(same, task="audio", random_sound=True)
    require([silent], Gate(), evaluated="some rows")


def test_shipped_sentences_are_balanced_and_varied() -> None:
    shipped = shipped_sentences()
    count = Counter(row.label for row in shipped.rows)
    assert set(count) == set(LABELS)
    assert len(set(count.values())) == 1
    assert len(set(shipped.texts)) == len(shipped.rows) >= 500
    lengths = [len(text.split()) for text in shipped.texts]
    assert min(lengths) <= 3
    assert max(lengths) >= 50
    assert shipped.label_ids(LABELS) is not None


@needs("meacorpus")
def test_shipped_sentences_are_in_no_corpus() -> None:
    theirs = {text.strip().lower() for text in meacorpus_texts()}
    assert not theirs & {text.lower() for text in shipped_sentences().texts}


def test_rows_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\ufefftext,audio,label\nHola,clip.wav,Joy\nNo,,fear\n", encoding="utf-8")
    rows = read_rows(path).rows
    assert [row.text for row in rows] == ["Hola", "No"]
    assert rows[0].audio == tmp_path / "clip.wav"
    found = read_rows(path).label_ids(LABELS)
    assert found is not None
    assert found.tolist() == [3, 2]
    path.write_text("text\nHola\n", encoding="utf-8")
    assert read_rows(path).label_ids(LABELS) is None


def test_a_typo_in_a_label_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nHola,joy\nNo,faer\n", encoding="utf-8")
    with pytest.raises(EmoError, match=r"row 2: unknown label 'faer'. Expected one of: anger"):
        read_rows(path).label_ids(LABELS)
    path.write_text("text,label\nHola,joy\nNo,\n", encoding="utf-8")
    with pytest.raises(EmoError, match="row 2: has no label, other rows have one"):
        read_rows(path)
    assert shipped_sentences().label_ids(("yes", "no")) is None


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"word,label\nHola,joy\n", "no column 'text'"),
        (b"text\n\n", "no row"),
        (b"text,label\n ,joy\n", "row 1: the text is empty"),
    ],
)
def test_files_that_hold_no_rows(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(EmoError, match=part):
        read_rows(path)
    with pytest.raises(EmoError, match=r"missing\.csv"):
        read_rows(tmp_path / "missing.csv")


def test_sound_of_the_rows_is_read(tmp_path: Path) -> None:
    import soundfile

    from emo_runtime.audio.decode import load_audio
    from emo_runtime.audio.mfcc import MeanMfcc

    samples, rate = golden_clip()
    soundfile.write(tmp_path / "clip.wav", samples, rate)
    path = tmp_path / "rows.csv"
    path.write_text("text,audio\nHola,clip.wav\nAdiós,\n", encoding="utf-8")
    real, made_up = read_rows(path).mfcc(Audio())
    expected = MeanMfcc(Audio())(load_audio(tmp_path / "clip.wav", 22_050))
    assert np.abs(real - expected).max() < 1e-3
    assert np.abs(made_up - expected).max() > 1
    assert np.isfinite(made_up).all()


def test_golden_cases_are_spread_and_steady(maker: Any, loaded: Any) -> None:
    checkpoints = loaded(maker.text())
    random = np.random.default_rng(2)
    expected = (3 * random.standard_normal((60, 6))).astype(np.float32)
    unsteady = expected.copy()
    unsteady[::2] += random.standard_normal((30, 6)).astype(np.float32)
    texts = [f"texto {number}" for number in range(60)]
    golden = golden_cases(
        checkpoints,
        texts,
        Answers(expected),
        [Answers(expected), Answers(unsteady)],
        front_end=None,
        answer=lambda *_: [],
    )
    assert len(golden.cases) == CASES_PER_TASK
    assert {int(np.argmax(case.probabilities)) for case in golden.cases} == set(range(6))
    change = np.abs(softmax(expected, 1.25) - softmax(unsteady, 1.25)).max(axis=1)
    assert (change > STEADY).any()
    assert all(change[texts.index(str(case.text))] <= STEADY for case in golden.cases)
    assert golden.labels == list(LABELS)
