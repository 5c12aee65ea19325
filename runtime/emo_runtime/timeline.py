"""Emotion over the course of a recording: one answer for each cue of its transcript."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.recording import Recording, open_recording
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.errors import EmoError
from emo_runtime.result import Answer
from emo_runtime.text.transcripts import Cue

Recognize = Callable[[str | None, AudioSource | None], Answer]


@dataclass(frozen=True)
class Moment:
    """A cue with its answer, or with the error that occurred instead."""

    cue: Cue
    answer: Answer | None
    error: EmoError | None = None


def timeline(
    audio: AudioSource,
    cues: Iterable[Cue],
    tasks: Collection[TaskName],
    recognize: Recognize,
) -> Iterator[Moment]:
    """Yield a moment for each cue, in their order.

    Args:
        audio: The recording.
        cues: Cues of its transcript.
        tasks: The tasks that ``recognize`` can answer.
        recognize: Answers a transcript and/or sound.

    Raises:
        AudioError: ``audio`` can't be opened.
    """
    with open_recording(audio) as recording:
        for cue in cues:
            yield _moment(recording, cue, tasks, recognize)


def _moment(
    recording: Recording, cue: Cue, tasks: Collection[TaskName], recognize: Recognize
) -> Moment:
    text = cue.text if cue.text.strip() else None
    try:
        if text is not None and "fusion" not in tasks:
            return Moment(cue, recognize(text, None))
        sound = recording.slice(cue.start_s, cue.end_s, cue.channel)
        answer = recognize(text, (sound.samples, sound.sample_rate))
        return Moment(cue, replace(answer, notes=sound.notes + answer.notes))
    except EmoError as error:
        return Moment(cue, None, error)
