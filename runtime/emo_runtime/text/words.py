"""Words with times, grouped to cues, for transcripts without segments."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from emo_runtime.text.cues import RawCue

_PAUSE_S = 1.0


class Word(NamedTuple):
    """A word with its times, for layouts that have no segments."""

    text: str
    start_s: float | None
    end_s: float | None
    speaker: str | None


def sentences(words: Sequence[Word]) -> Iterator[RawCue]:
    """Group words into cues: a change of speaker, the end of a sentence or a pause ends one."""
    number = 0
    numbers = []
    for place, word in enumerate(words):
        before = words[place - 1] if place else None
        if before is not None and (
            before.speaker != word.speaker
            or before.text.endswith((".", "?", "!", "…"))
            or (
                before.end_s is not None
                and word.start_s is not None
                and word.start_s - before.end_s > _PAUSE_S
            )
        ):
            number += 1
        numbers.append(number)
    for _, group in groupby(zip(numbers, words, strict=True), key=lambda pair: pair[0]):
        found = [word for _, word in group]
        starts = [word.start_s for word in found if word.start_s is not None]
        ends = [word.end_s for word in found if word.end_s is not None]
        yield RawCue(
            starts[0] if starts else None,
            ends[-1] if ends else None,
            " ".join(word.text for word in found),
            found[0].speaker,
        )
