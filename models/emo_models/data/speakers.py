"""Utterances with speakers and corpora: adaptation as the runtime does it, means and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import soft_targets, targets_of
from emo_models.errors import DataError
from emo_models.labels import label_set
from emo_runtime.adaptation import SpeakerAdaptation

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Utterances:
    """Labelled clips of one or more corpora.

    Attributes:
        rows: With sound and speaker.
        label: Class numbers [clips].
        speaker: Speaker numbers [clips]; speakers of different corpora have different numbers.
        corpus: Numbers of the corpora in ``names`` [clips].
        names: Names of the corpora.
        labels: Labels in class order.
        soft: Target probabilities [clips, classes]; None: the classes are the targets.
    """

    rows: tuple[Row, ...]
    label: Ints
    speaker: Ints
    corpus: Ints
    names: tuple[str, ...]
    labels: tuple[str, ...]
    soft: Floats | None = None

    @property
    def targets(self) -> Floats | Ints:
        """Targets of the loss: probabilities [clips, classes], or class numbers [clips]."""
        return self.label if self.soft is None else self.soft

    def take(self, numbers: Ints) -> Utterances:
        """Return some of the clips."""
        return Utterances(
            tuple(self.rows[number] for number in numbers),
            self.label[numbers],
            self.speaker[numbers],
            self.corpus[numbers],
            self.names,
            self.labels,
            None if self.soft is None else self.soft[numbers],
        )


@dataclass(frozen=True)
class Profile:
    """Utterances that are in a speaker's profile before the tested one.

    Attributes:
        sizes: Number of utterances; one of them is drawn for each tested utterance.
        label: Class number of the utterances; None: utterances of any class.
        share: Share of the utterances that has this label.
    """

    sizes: tuple[int, ...]
    label: int | None = None
    share: float = 1.0


# Half of the training utterances are seen as the runtime sees a speaker's first one.
RANDOM_PROFILE = Profile((0, 0, 0, 1, 2, 5, 20))
FIRST = Profile((0,))


def read_utterances(
    paths: Sequence[Path],
    layout: TableFormat,
    labels: Sequence[str] = (),
    soft_share: float = 1.0,
) -> Utterances:
    """Read tables of clips with speakers; each table is a corpus with the name of its file.

    ``soft_share`` is the share of the columns ``score_LABEL`` in the targets of rows that have
    them.

    Raises:
        DataError: A bad row, a row without speaker, or two tables with the same name.
    """
    names = tuple(path.stem for path in paths)
    if len(set(names)) < len(names):
        raise DataError(
            f"tables {', '.join(names)}: two have the same name. The name of its file is the name "
            "of a corpus: rename one."
        )
    parts = [read_csv(path, needs=Needs(audio=True), layout=layout) for path in paths]
    rows = tuple(row for part in parts for row in part)
    for row in rows:
        if not row.group:
            raise DataError(f"{row.where}: the speaker is missing (a column speaker).")
    chosen = tuple(labels) or label_set(row.label for row in rows)
    corpus = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    keys = [f"{number}:{row.group}" for number, row in zip(corpus, rows, strict=True)]
    speaker = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    soft = soft_targets(rows, chosen, soft_share)
    return Utterances(rows, targets_of(rows, chosen), speaker, corpus, names, chosen, soft)


def population_mean(embedding: Floats, utterances: Utterances) -> Floats:
    """Return the mean [width] with the same weight for each corpus, and for each speaker in it."""
    means = []
    for corpus in np.unique(utterances.corpus):
        speakers = np.unique(utterances.speaker[utterances.corpus == corpus])
        own = [embedding[utterances.speaker == speaker].mean(0) for speaker in speakers]
        means.append(np.mean(own, axis=0))
    mean: Floats = np.mean(means, axis=0).astype(np.float32)
    return mean


def balanced_weights(label: Ints, corpus: Ints, power: float) -> NDArray[np.float64]:
    """Return weights of clips: the same sum for each corpus, more for a corpus's rare labels.

    A label of a corpus has a total weight proportional to ``count ** (1 - power)``: power 1 gives
    all labels of the corpus the same weight, 0 all clips.
    """
    weight = np.zeros(len(label))
    for number in np.unique(corpus):
        inside = corpus == number
        counts = np.bincount(label[inside])
        weight[inside] = counts[label[inside]].astype(float) ** -power
        weight[inside] /= weight[inside].sum()
    normalized: NDArray[np.float64] = weight / weight.sum()
    return normalized


def adapted(
    embedding: Floats,
    utterances: Utterances,
    adaptation: SpeakerAdaptation,
    profile: Profile,
    rng: np.random.Generator,
) -> Floats:
    """Return each embedding minus its speaker's mean, as the runtime computes it.

    The profile of each utterance is drawn from the speaker's other utterances.
    """
    result = np.empty_like(embedding)
    for speaker in np.unique(utterances.speaker):
        members = np.flatnonzero(utterances.speaker == speaker)
        for number in members:
            chosen = choose(utterances.label, members[members != number], profile, rng)
            result[number] = adapt_one(embedding[number], embedding[chosen], adaptation)
    return result


def adapt_one(vector: Floats, others: Floats, adaptation: SpeakerAdaptation) -> Floats:
    """Return a vector [width] minus the speaker's mean over ``others`` [utterances, width]."""
    speaker = adaptation.speaker()
    for other in others:
        speaker.add(other)
    return adaptation(vector, speaker)


def choose(label: Ints, members: Ints, profile: Profile, rng: np.random.Generator) -> Ints:
    """Draw the utterances of a profile; fewer than wanted where the speaker has not as many."""
    size = int(rng.choice(profile.sizes))
    if profile.label is None:
        return rng.choice(members, min(size, len(members)), replace=False)
    same = members[label[members] == profile.label]
    other = members[label[members] != profile.label]
    wanted = min(round(size * profile.share), len(same))
    rest = min(round(wanted * (1 - profile.share) / profile.share), len(other))
    return np.concatenate(
        [rng.choice(same, wanted, replace=False), rng.choice(other, rest, replace=False)]
    )
