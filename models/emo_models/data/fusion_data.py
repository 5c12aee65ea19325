"""Features and pairs of Task 2, for training, validation and every test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from emo_models.data.corpora import Needs, Row, TableFormat, read_csv
from emo_models.data.datasets import Dataset, limited, targets_of
from emo_models.data.features import Floats, audio_contract, audio_features, text_features
from emo_models.data.pairs import Pairs, matched_pairs, own_pairs
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


@dataclass(frozen=True)
class FusionRun:
    """Settings of a run, apart from its recipe and tables.

    ``clips`` are tables of sound with speakers, for label-matched pairs; without them the training
    tables must name their own sound. ``encoder`` is a directory or a Hub id. ``options`` are all
    options of the run; a state is resumed only if its options are equal.
    """

    encoder: str
    output: Path
    clips: tuple[Path, ...] = ()
    limit: int | None = None
    cache: Path | None = None
    layout: TableFormat = field(default_factory=TableFormat)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Features:
    """Sound [clips, n_mfcc], text [texts, hidden], their rows, and the pairs of an epoch."""

    audio: Floats
    text: Floats
    audio_rows: Sequence[Row]
    text_rows: Sequence[Row]
    labels: tuple[str, ...]
    pairs: Callable[[int], Pairs]

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
    run: FusionRun, data: Dataset, recipe: FusionRecipe, encoder: TextCheckpoint
) -> FusionData:
    """Compute the features of the rows, or read them from the cache, and pair them.

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

    def paired(name: str) -> Features:
        text_rows, audio_rows = texts[name], spoken[name]
        return Features(
            audio=_sound(audio_rows, name, run, recipe),
            text=text_features(text_rows, encoder),
            audio_rows=audio_rows,
            text_rows=text_rows,
            labels=labels,
            pairs=_pairs(name, text_rows, audio_rows, labels, own=own, recipe=recipe),
        )

    return FusionData(
        train=paired("train"),
        validation=paired("validation"),
        tests={name: paired(name) for name in dataset.tests},
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
    """Return a corpus's own pairs, or label-matched pairs that differ for each ``number``."""
    texts, clips = targets_of(text_rows, labels), targets_of(audio_rows, labels)
    if own:
        fixed = own_pairs(texts.tolist())
        return lambda _: fixed
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


def _sound(rows: Sequence[Row], name: str, run: FusionRun, recipe: FusionRecipe) -> Floats:
    with row_bar(f"sound ({name})", len(rows)) as on_row:
        return audio_features(
            rows,
            audio_contract(recipe.n_mfcc),
            cache=run.cache or run.output / "features",
            on_row=on_row,
        )
