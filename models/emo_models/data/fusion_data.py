"""Features and pairs of Task 2, for training, validation and every test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import Dataset, limited, soft_targets, targets_of
from emo_models.data.features import Floats, audio_contract, audio_features, text_features
from emo_models.data.pairs import Pairs, matched_pairs, own_pairs
from emo_models.data.speakers import FIRST, RANDOM_PROFILE, Profile
from emo_models.data.speech_embeddings import SpeechSource, adapted_embeddings, speech_embeddings
from emo_models.data.splits import split_rows, split_speakers
from emo_models.evaluation.metrics import Ints
from emo_models.modeling.load import TextCheckpoint
from emo_models.recipes import FusionRecipe
from emo_models.runs.progress import row_bar

# Shares of the speakers of each corpus of clips.
VALIDATION_SPEAKERS, TEST_SPEAKERS = 0.15, 0.25
MATCHED = (
    "label-matched: each transcript goes with a clip of the same label from another corpus, split "
    "by speaker and as the transcripts are; not comparable with figures on real pairs"
)
_TRAIN_SEED, _VALIDATION_SEED, _TEST_SEED = 0, 1, 2
# Each training clip is adapted with so many random profiles of its speaker.
_TRAINING_COPIES = 4
_FIVE = Profile((5,))


@dataclass(frozen=True)
class FusionRun:
    """Settings of a run, apart from its recipe and tables.

    ``clips`` are tables of sound with speakers, for label-matched pairs; without them the training
    tables must name their own sound. ``encoder`` is a directory or a Hub id. ``speech_encoder`` is
    a speech network whose embeddings replace the mean MFCCs. ``options`` are all options of the
    run; a state is resumed only if its options are equal.
    """

    encoder: str
    output: Path
    speech_encoder: Path | None = None
    clips: tuple[Path, ...] = ()
    limit: int | None = None
    cache: Path | None = None
    layout: TableFormat = field(default_factory=TableFormat)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Features:
    """Audio vectors [clips, width], text [texts, hidden], their rows, and the pairs of an epoch.

    The audio vectors are mean MFCCs or, with ``speech``, embeddings that are adapted to their
    speakers. A clip can occur several times, with several profiles of its speaker. ``soft`` are
    target probabilities [texts, labels] of a corpus's own pairs, if it has any.
    """

    audio: Floats
    text: Floats
    audio_rows: Sequence[Row]
    text_rows: Sequence[Row]
    labels: tuple[str, ...]
    pairs: Callable[[int], Pairs]
    speech: bool = False
    soft: Floats | None = None

    @property
    def audio_labels(self) -> Ints:
        """Class of each clip."""
        return targets_of(self.audio_rows, self.labels)


@dataclass(frozen=True)
class FusionData:
    """Features of training, validation and test sets; ``note`` describes the pairing."""

    train: Features
    validation: Features
    tests: dict[str, Features]
    note: str

    @property
    def counts(self) -> dict[str, int]:
        """Texts and clips of each set."""
        sets = {"train": self.train, "validation": self.validation, **self.tests}
        return {f"{name}_texts": len(found.text_rows) for name, found in sets.items()} | {
            f"{name}_clips": len(found.audio_rows) for name, found in sets.items()
        }


def fusion_data(
    run: FusionRun,
    data: Dataset,
    recipe: FusionRecipe,
    encoder: TextCheckpoint,
    speech: SpeechSource | None = None,
) -> FusionData:
    """Compute the features of the rows, or read them from the cache, and pair them.

    With an adapted speech network, training clips have random profiles of their speakers,
    validation clips none and five utterances, test clips none. Each test set is then also
    measured with five utterances, under its name and ``_five``.

    Raises:
        DataError: a bad row of clips, or unreadable sound.
    """
    own = not run.clips
    dataset = limited(data, run.limit)
    labels = dataset.labels
    targets = targets_of(dataset.train, labels).tolist()
    fit, held = split_rows(targets, recipe.validation_share, recipe.seed)
    texts = {
        "train": [dataset.train[i] for i in fit],
        "validation": [dataset.train[i] for i in held],
        **dataset.tests,
    }
    spoken = texts if own else _clips(run, texts, recipe)

    text = {name: text_features(rows, encoder) for name, rows in texts.items()}

    def paired(name: str, profiles: Sequence[Profile]) -> Features:
        audio = _sound(spoken[name], name, run, recipe, speech)
        audio_rows = list(spoken[name])
        if speech is not None and speech.adaptation is not None:
            seeds = [(recipe.seed, number) for number in range(len(profiles))]
            audio = np.concatenate(
                [
                    adapted_embeddings(
                        audio, audio_rows, labels, speech, profile=profile, seed=seed
                    )
                    for profile, seed in zip(profiles, seeds, strict=True)
                ]
            )
            audio_rows *= len(profiles)
        return Features(
            audio=audio,
            text=text[name],
            audio_rows=audio_rows,
            text_rows=texts[name],
            labels=labels,
            pairs=_pairs(name, texts[name], audio_rows, labels, own=own, recipe=recipe),
            speech=speech is not None,
            soft=soft_targets(texts[name], labels, recipe.soft_share) if own else None,
        )

    tests = {name: paired(name, (FIRST,)) for name in dataset.tests}
    if speech is not None and speech.adaptation is not None:
        tests |= {f"{name}_five": paired(name, (_FIVE,)) for name in dataset.tests}
    return FusionData(
        train=paired("train", (RANDOM_PROFILE,) * _TRAINING_COPIES),
        validation=paired("validation", (FIRST, _FIVE)),
        tests=tests,
        note="the corpus's own" if own else MATCHED,
    )


def _pairs(
    name: str,
    text_rows: Sequence[Row],
    audio_rows: Sequence[Row],
    labels: Sequence[str],
    *,
    own: bool,
    recipe: FusionRecipe,
) -> Callable[[int], Pairs]:
    """Return a corpus's own pairs, or label-matched pairs that differ for each ``number``.

    Where each clip occurs several times, its own pairs take the occurrences in rotation.
    """
    texts, clips = targets_of(text_rows, labels), targets_of(audio_rows, labels)
    if own:
        fixed, count = own_pairs(texts.tolist()), len(audio_rows) // len(text_rows)
        return lambda number: replace(fixed, audio=fixed.audio + len(texts) * (number % count))
    seed = {"train": _TRAIN_SEED, "validation": _VALIDATION_SEED}.get(name, _TEST_SEED)
    return lambda number: matched_pairs(
        texts.tolist(),
        clips.tolist(),
        (recipe.seed, seed, number),
        both=name == "train",
        labels=labels,
    )


def _clips(
    run: FusionRun, texts: dict[str, list[Row]], recipe: FusionRecipe
) -> dict[str, list[Row]]:
    """Return clips for each set of texts, disjoint by speaker; all test sets share one part."""
    rows = [
        replace(row, id=f"{path}:{row.id}")
        for path in run.clips
        for row in read_csv(path, needs=Needs(audio=True), layout=run.layout)
    ]
    train, validation, test = split_speakers(rows, VALIDATION_SPEAKERS, TEST_SPEAKERS, recipe.seed)
    return {name: {"train": train, "validation": validation}.get(name, test) for name in texts}


def _sound(
    rows: Sequence[Row],
    name: str,
    run: FusionRun,
    recipe: FusionRecipe,
    speech: SpeechSource | None,
) -> Floats:
    cache = run.cache or run.output / "features"
    with row_bar(f"sound ({name})", len(rows)) as on_row:
        if speech is not None:
            return speech_embeddings(rows, speech, cache, on_row)
        return audio_features(rows, audio_contract(recipe.n_mfcc), cache=cache, on_row=on_row)
