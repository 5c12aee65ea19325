"""Emotion over the course of a recording: one answer for each cue of its transcript."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.recording import Recording, open_recording
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.channel_check import channels_look_swapped
from emo_runtime.errors import AudioError, EmoError, TextError
from emo_runtime.notes import Note
from emo_runtime.result import Answer
from emo_runtime.text.cues import Cue, end_of_recording
from emo_runtime.text.transcripts import CueSource, as_cues

Recognize = Callable[[str | None, AudioSource | None], Answer]
_SWAPPED = Note(
    "channels_swapped",
    "the other channel is louder under most cues: check which transcript belongs to which channel.",
)


@dataclass(frozen=True)
class Moment:
    """A cue with its answer, or with the error that occurred instead."""

    cue: Cue
    answer: Answer | None
    error: EmoError | None = None


def timeline(
    audio: AudioSource,
    cues: CueSource,
    tasks: Collection[TaskName],
    recognize: Recognize,
) -> Iterator[Moment]:
    """Yield a moment for each cue, in their order.

    Args:
        audio: The recording.
        cues: The path of its transcript, or cues, or dictionaries of their fields. Anything but a
            path, a list or a tuple is read lazily, without the check for swapped channels.
        tasks: The tasks that ``recognize`` can answer.
        recognize: Answers a transcript and/or sound.

    Raises:
        AudioError: ``audio`` can't be opened.
        TextError: The transcript can't be read.
    """
    with open_recording(audio) as recording:
        found: Iterable[Cue] = as_cues(cues)
        notes: tuple[Note, ...] = ()
        if isinstance(cues, str | os.PathLike | list | tuple):
            found = [end_of_recording(cue, recording.duration_s) for cue in found]
            if channels_look_swapped(recording, found):
                notes = (_SWAPPED,)
        for cue in found:
            yield _moment(
                recording, end_of_recording(cue, recording.duration_s), notes, tasks, recognize
            )


def _moment(
    recording: Recording,
    cue: Cue,
    notes: tuple[Note, ...],
    tasks: Collection[TaskName],
    recognize: Recognize,
) -> Moment:
    text = cue.text if cue.text.strip() else None
    try:
        if cue.problem is not None:
            raise TextError(f"the cue at {cue.start_s:g} s: {cue.problem}.")
        if text is not None and "fusion" not in tasks:
            return Moment(cue, recognize(text, None))
        _check_times(cue, recording)
        sound = recording.slice(cue.start_s, cue.end_s, cue.channel)
        answer = recognize(text, (sound.samples, sound.sample_rate))
        if cue.channel is None:
            notes = ()
        if cue.adjusted is not None:
            notes += (Note("cue_adjusted", f"{cue.adjusted}."),)
        return Moment(cue, replace(answer, notes=notes + sound.notes + answer.notes))
    except EmoError as error:
        return Moment(cue, None, error)


def _check_times(cue: Cue, recording: Recording) -> None:
    if cue.start_s >= recording.duration_s:
        raise AudioError(
            f"the cue at {cue.start_s:g} s is beyond the end of the recording "
            f"({recording.duration_s:g} s). Check that transcript and recording belong together."
        )
    if cue.end_s <= cue.start_s:
        raise AudioError(f"the cue at {cue.start_s:g} s has no length: it ends where it starts.")
