"""Which rows the default text model sees, and which it is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emo_models.corpora import Row, merged, read_csv, read_videos, with_groups, without


@dataclass(frozen=True)
class TextSplits:
    """Rows with their video as group.

    ``test`` is EmoSPeech's official test, ``test_unshared`` its rows whose video has no training
    row; ``meacorpus_test`` are MEACorpus test rows whose video has no training row either.
    """

    train: list[Row]
    test: list[Row]
    test_unshared: list[Row]
    meacorpus_test: list[Row]


def spanish_text_splits(data: Path) -> TextSplits:
    """EmoSPeech train and MEACorpus train, with nothing in them that EmoSPeech test has.

    Rows are left out whose file name or text stands in EmoSPeech test. The official EmoSPeech
    train shares videos with its test; that is kept. MEACorpus adds no row of a test video.

    Args:
        data: folder with ``emospeech`` and ``meacorpus``.
    """
    videos = read_videos(data / "meacorpus")

    def read(path: str, split: str | None = None) -> list[Row]:
        return with_groups(read_csv(data / path, split=split, need_text=True), videos)

    test = read("emospeech/test.csv")
    official = without(read("emospeech/train.csv"), test)
    known = {row.id for row in official}
    more = [row for row in read("meacorpus/meacorpus-2023.csv", "train") if row.id not in known]
    train = merged(official, without(more, test, groups=True))
    seen = {row.group for row in train}
    return TextSplits(
        train=train,
        test=test,
        test_unshared=[row for row in test if row.group not in seen],
        meacorpus_test=without(read("meacorpus/meacorpus-2023.csv", "test"), train, groups=True),
    )
