"""The workload: seeded, as long as real speech, or the user's own."""

import csv
import io

import numpy as np
import pytest
import soundfile
from scipy.stats import spearmanr

from emo_bench.workload import own, real_lengths, synthetic
from emo_runtime import EmoError
from helpers.corpora import CLIPS, needs, rows


@needs("meacorpus")
def test_the_table_has_the_lengths_of_the_corpus():
    corpus = rows("meacorpus/meacorpus-2023-segments.csv")
    seconds = [(float(row["end_time"]) - float(row["start_time"])) / 1000 for row in corpus]
    words = [len(row["transcription"].split()) for row in corpus]
    table = real_lengths()
    shares = np.arange(5, 100, 5)
    np.testing.assert_allclose(
        np.percentile([item.duration_s for item in table], shares),
        np.percentile(seconds, shares),
        atol=0.1,
    )
    np.testing.assert_allclose(
        np.percentile([item.words for item in table], shares),
        np.percentile(words, shares),
        atol=3,
    )
    ours = spearmanr([item.duration_s for item in table], [item.words for item in table])
    assert ours.statistic == pytest.approx(spearmanr(seconds, words).statistic, abs=0.03)


def test_synthetic_utterances_have_those_lengths():
    table = real_lengths()
    samples = synthetic(len(table), 3, with_audio=True)
    durations = [soundfile.info(io.BytesIO(sample.audio)).duration for sample in samples]
    np.testing.assert_allclose(
        sorted(durations), sorted(item.duration_s for item in table), atol=1e-3
    )
    characters = sorted(len(sample.text) for sample in samples)
    wanted = sorted(item.characters for item in table)
    np.testing.assert_allclose(characters, wanted, atol=25)
    first = soundfile.read(io.BytesIO(samples[0].audio))[0]
    assert 0.4 < np.abs(first).max() < 1


def test_the_same_seed_gives_the_same():
    assert synthetic(9, 1, with_audio=True) == synthetic(9, 1, with_audio=True)
    assert synthetic(9, 1, with_audio=True) != synthetic(9, 2, with_audio=True)
    assert all(sample.audio is None for sample in synthetic(9, 1, with_audio=False))


def test_own_tables(tmp_path):
    samples = own(CLIPS / "clips.csv", None)
    assert len(samples) == 8
    assert samples[0].audio == (CLIPS / "queja.flac").read_bytes()
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "label"], ["hola", "joy"], ["adiós", ""]])
    assert [(sample.text, sample.label) for sample in own(tmp_path / "t.csv", None)] == [
        ("hola", "joy"),
        ("adiós", None),
    ]


def test_own_lines_with_a_folder_of_sounds(tmp_path):
    (tmp_path / "t.txt").write_text("hola\n\nadiós\n", encoding="utf-8")
    found = own(tmp_path / "t.txt", CLIPS)
    assert [sample.text for sample in found] == ["hola", "adiós"]
    assert found[0].audio == (CLIPS / "alegria.flac").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "words\nhola\n", "needs a header with a column 'text' or 'audio'"),
        ("t.csv", "", "needs a header"),
        ("t.txt", "\n", "has no line of text"),
        ("t.csv", "text,audio\nhola,missing.wav\n", "missing.wav: No such file"),
    ],
)
def test_own_files_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(EmoError, match=message):
        own(tmp_path / name, None)


def test_own_files_that_are_not_there(tmp_path):
    with pytest.raises(EmoError, match="cannot be read"):
        own(tmp_path / "missing.csv", None)
    (tmp_path / "t.txt").write_text("hola")
    with pytest.raises(EmoError, match="no sound files in this folder"):
        own(tmp_path / "t.txt", tmp_path / "none")
