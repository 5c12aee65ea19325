"""The course of a recording: one answer for each cue of its transcript."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.recording import Recording, open_recording
from emo_runtime.errors import EmoError
from emo_runtime.result import Answer
from emo_runtime.text.transcripts import Cue

if TYPE_CHECKING:
    from emo_runtime.recognizer import EmotionRecognizer


@dataclass(frozen=True)
class Moment:
    """A cue with its answer, or with the error that stands in its place."""

    cue: Cue
    answer: Answer | None
    error: EmoError | None = None


def timeline(
    recognizer: "EmotionRecognizer", audio: AudioSource, cues: Iterable[Cue]
) -> Iterator[Moment]:
    """A moment for each cue, in their order. Raises AudioError where ``audio`` can't be opened."""
    with open_recording(audio) as recording:
        for cue in cues:
            yield _moment(recognizer, recording, cue)


def _moment(recognizer: "EmotionRecognizer", recording: Recording, cue: Cue) -> Moment:
    task = "fusion" if cue.text.strip() else "audio"
    try:
        if task == "fusion" and "fusion" not in recognizer.tasks:
            return Moment(cue, recognizer.recognize(cue.text))
        sound = recording.slice(cue.start_s, cue.end_s, cue.channel)
        pair = (sound.samples, sound.sample_rate)
        answer = recognizer.recognize(cue.text if task == "fusion" else None, pair)
        return Moment(cue, replace(answer, notes=sound.notes + answer.notes))
    except EmoError as error:
        return Moment(cue, None, error)
