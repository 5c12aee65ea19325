"""The rows that an export is measured on: the sentences that ship, and tables."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from emo_export.evaluation.rows import golden_clip, read_rows, shipped_sentences
from emo_models.labels import LABELS
from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.errors import EmoError
from helpers.corpora import meacorpus_texts, needs


def test_shipped_sentences_are_balanced_and_varied() -> None:
    shipped = shipped_sentences()
    count = Counter(row.label for row in shipped.rows)
    assert set(count) == set(LABELS)
    assert len(set(count.values())) == 1
    assert len(set(shipped.texts)) == len(shipped.rows) >= 500
    lengths = [len(text.split()) for text in shipped.texts]
    assert min(lengths) <= 3
    assert max(lengths) >= 50
    assert shipped.targets(LABELS) is not None


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
    found = read_rows(path).targets(LABELS)
    assert found is not None
    assert found.tolist() == [3, 2]
    path.write_text("text\nHola\n", encoding="utf-8")
    assert read_rows(path).targets(LABELS) is None


def test_a_typo_in_a_label_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nHola,joy\nNo,faer\n", encoding="utf-8")
    with pytest.raises(EmoError, match=r"row 2: unknown label 'faer'. Expected one of: anger"):
        read_rows(path).targets(LABELS)
    path.write_text("text,label\nHola,joy\nNo,\n", encoding="utf-8")
    with pytest.raises(EmoError, match="row 2: has no label, other rows have one"):
        read_rows(path)
    assert shipped_sentences().targets(("yes", "no")) is None


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
    real, made_up = read_rows(path).mfcc(MeanMfccSettings())
    expected = MeanMfcc(MeanMfccSettings())(load_audio(tmp_path / "clip.wav", 22_050))
    assert np.abs(real - expected).max() < 1e-3
    assert np.abs(made_up - expected).max() > 1
    assert np.isfinite(made_up).all()
