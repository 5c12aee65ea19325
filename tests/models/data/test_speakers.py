"""Speaker adaptation, means and weights of clips against their formulas."""

from pathlib import Path

import numpy as np
import pytest

from emo_models.data.corpora import Row, TableFormat
from emo_models.data.speakers import (
    Profile,
    Utterances,
    adapt_one,
    adapted,
    balanced_weights,
    choose,
    population_mean,
    read_utterances,
)
from emo_models.errors import DataError
from emo_runtime.adaptation import SpeakerAdaptation

RNG = np.random.default_rng(0)


def utterances(label: list[int], speaker: list[int], corpus: list[int]) -> Utterances:
    rows = tuple(Row(str(n), "", None, None, "", "") for n in range(len(label)))
    numbers = [np.array(values, np.int64) for values in (label, speaker, corpus)]
    return Utterances(rows, *numbers, names=("one", "two"), labels=("anger", "joy"))


def test_population_mean_weighs_corpora_and_speakers_the_same() -> None:
    clips = utterances([0] * 5, [0, 0, 0, 1, 2], [0, 0, 0, 0, 1])
    embedding = np.array([[1], [2], [3], [6], [10]], np.float32)
    assert population_mean(embedding, clips) == pytest.approx([((2 + 6) / 2 + 10) / 2])


def test_adaptation_is_the_shrunken_mean_of_the_profile() -> None:
    mean, others = RNG.standard_normal(4), RNG.standard_normal((3, 4)).astype(np.float32)
    vector = RNG.standard_normal(4).astype(np.float32)
    adaptation = SpeakerAdaptation(mean, 2.5, "")
    expected = vector - (2.5 * mean + others.sum(0)) / 5.5
    np.testing.assert_allclose(adapt_one(vector, others, adaptation), expected, atol=1e-6)
    np.testing.assert_allclose(adapt_one(vector, others[:0], adaptation), vector - mean, atol=1e-6)


def test_an_utterance_is_never_in_its_own_profile() -> None:
    clips = utterances([0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0])
    embedding = RNG.standard_normal((4, 3)).astype(np.float32)
    adaptation = SpeakerAdaptation(np.zeros(3), 1.0, "")
    result = adapted(embedding, clips, adaptation, Profile((20,)), np.random.default_rng(1))
    np.testing.assert_allclose(
        result[0], embedding[0] - (embedding[1] + embedding[2]) / 3, atol=1e-6
    )
    np.testing.assert_allclose(result[3], embedding[3], atol=1e-6)


def test_profiles_of_one_label() -> None:
    label = np.array([0] * 10 + [1] * 10)
    members = np.arange(20)
    angry = choose(label, members, Profile((5,), 0), np.random.default_rng(0))
    assert len(set(angry)) == 5
    assert (label[angry] == 0).all()
    mixed = choose(label, members, Profile((10,), 1, 0.8), np.random.default_rng(0))
    assert (label[mixed] == 1).sum() == 8
    assert (label[mixed] == 0).sum() == 2


def test_weights_are_balanced_over_corpora_and_labels() -> None:
    label, corpus = np.array([0, 0, 0, 0, 1, 0, 1]), np.array([0, 0, 0, 0, 0, 1, 1])
    weight = balanced_weights(label, corpus, 1.0)
    np.testing.assert_allclose(weight, [1 / 16] * 4 + [1 / 4] * 3)
    np.testing.assert_allclose(balanced_weights(label, corpus, 0.0)[:5], [0.1] * 5)


def test_tables_need_speakers_and_different_names(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    table = tmp_path / "one.csv"
    table.write_text("file,label,speaker\na.wav,joy,\n")
    with pytest.raises(DataError, match=r"one\.csv, row 1: the speaker is missing"):
        read_utterances([table], TableFormat())
    table.write_text("file,label,speaker\na.wav,joy,s1\n")
    with pytest.raises(DataError, match="two have the same name"):
        read_utterances([table, table], TableFormat())
    clips = read_utterances([table], TableFormat(), ("anger", "joy"))
    assert clips.label.tolist() == [1]
    assert clips.names == ("one",)
