"""Timelines: one answer for each cue of the transcript of a recording."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

from emo_runtime.audio.decode import AudioSource
from emo_runtime.audio.recording import Recording, open_recording
from emo_runtime.bundle.manifest import TaskName
from emo_runtime.channel_check import channels_look_swapped
from emo_runtime.engine import AudioFeatures, EncodedUtterance
from emo_runtime.errors import AudioError, EmoError, TextError
from emo_runtime.hooks import Hooks
from emo_runtime.notes import Note
from emo_runtime.result import Answer
from emo_runtime.speaker import Speaker
from emo_runtime.text.cues import Cue, end_of_recording
from emo_runtime.text.transcripts import CueSource, as_cues

Voice: TypeAlias = tuple[int | None, str | None]
_SWAPPED = Note(
    "channels_swapped",
    "the other channel is louder under most cues: check which transcript belongs to which channel.",
)


class CueEngine(Protocol):
    """The methods of ``Engine`` that a timeline uses."""

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """Loaded tasks."""

    @property
    def adapts_to_speakers(self) -> bool:
        """True if profiles have an effect."""

    def encode(self, text: str | None, audio: AudioSource | None) -> EncodedUtterance:
        """Compute everything that does not depend on a profile."""

    def answer(self, encoded: EncodedUtterance, speaker: Speaker | None) -> Answer:
        """Answer an encoded utterance."""

    def speaker(self) -> Speaker:
        """Return an empty profile."""

    def add_to_profile(
        self, speaker: Speaker | None, name: TaskName, audio_features: AudioFeatures | None
    ) -> None:
        """Add an utterance to a profile."""


@dataclass(frozen=True)
class Moment:
    """A cue with its answer, or with the error that occurred instead."""

    cue: Cue
    answer: Answer | None
    error: EmoError | None = None


@dataclass(frozen=True)
class _Encoded:
    """A cue with its encoded utterance, or with the error that occurred instead."""

    cue: Cue
    utterance: EncodedUtterance | None
    notes: tuple[Note, ...] = ()
    error: EmoError | None = None


def timeline(
    audio: AudioSource,
    cues: CueSource,
    engine: CueEngine,
    hooks: Hooks,
) -> Iterator[Moment]:
    """Yield a moment for each cue, in their order.

    If the engine adapts to speakers, all cues are encoded before the first is answered: each
    answer uses the profile of all cues of its channel and speaker.

    Args:
        audio: The recording.
        cues: The path of its transcript, or cues, or dictionaries of their fields. Anything but a
            path, a list or a tuple is read lazily, without the check for swapped channels.
        engine: Answers the cues.
        hooks: Called with every answer and every error.

    Raises:
        AudioError: ``audio`` can't be opened.
        TextError: The transcript can't be read.
    """
    with open_recording(audio) as recording:
        encoded = (_encode(recording, cue, notes, engine) for cue, notes in _cues(recording, cues))
        if not engine.adapts_to_speakers:
            for item in encoded:
                yield _moment(item, engine, None, hooks)
            return
        items = list(encoded)
    speakers = _profiles(items, engine)
    for item in items:
        yield _moment(item, engine, speakers.get(_voice(item.cue)), hooks)


def _cues(recording: Recording, cues: CueSource) -> Iterator[tuple[Cue, tuple[Note, ...]]]:
    """Yield the cues with the notes that concern all of them."""
    found: Iterable[Cue] = as_cues(cues)
    notes: tuple[Note, ...] = ()
    if isinstance(cues, str | os.PathLike | list | tuple):
        found = [end_of_recording(cue, recording.duration_s) for cue in found]
        if channels_look_swapped(recording, found):
            notes = (_SWAPPED,)
    for cue in found:
        yield end_of_recording(cue, recording.duration_s), notes


def _profiles(items: Iterable[_Encoded], engine: CueEngine) -> dict[Voice, Speaker]:
    """Return a profile for every known voice of a recording."""
    speakers: dict[Voice, Speaker] = {}
    for item in items:
        voice = _voice(item.cue)
        if voice == (None, None) or item.utterance is None:
            continue
        speaker = speakers.setdefault(voice, engine.speaker())
        engine.add_to_profile(speaker, item.utterance.task, item.utterance.audio)
    return speakers


def _voice(cue: Cue) -> Voice:
    return cue.channel, cue.speaker


def _encode(recording: Recording, cue: Cue, notes: tuple[Note, ...], engine: CueEngine) -> _Encoded:
    text = cue.text if cue.text.strip() else None
    try:
        if cue.problem is not None:
            raise TextError(f"the cue at {cue.start_s:g} s: {cue.problem}.")
        if "fusion" not in engine.tasks:
            if text is not None and "text" in engine.tasks:
                return _Encoded(cue, engine.encode(text, None))
            text = None
        _check_times(cue, recording)
        sound = recording.slice(cue.start_s, cue.end_s, cue.channel)
        if cue.channel is None:
            notes = ()
        if cue.adjusted is not None:
            notes += (Note("cue_adjusted", f"{cue.adjusted}."),)
        utterance = engine.encode(text, (sound.samples, sound.sample_rate))
        return _Encoded(cue, utterance, notes + sound.notes)
    except EmoError as error:
        return _Encoded(cue, None, error=error)


def _moment(
    item: _Encoded,
    engine: CueEngine,
    speaker: Speaker | None,
    hooks: Hooks,
) -> Moment:
    try:
        with hooks.errors():
            if item.error is not None:
                raise item.error
            assert item.utterance is not None  # noqa: S101  (there is one, or an error)
            answer = engine.answer(item.utterance, speaker)
    except EmoError as error:
        return Moment(item.cue, None, error)
    answer = replace(answer, notes=item.notes + answer.notes)
    hooks.answer(answer)
    return Moment(item.cue, answer)


def _check_times(cue: Cue, recording: Recording) -> None:
    if cue.start_s >= recording.duration_s:
        raise AudioError(
            f"the cue at {cue.start_s:g} s is beyond the end of the recording "
            f"({recording.duration_s:g} s). Check that the transcript belongs to the recording."
        )
    if cue.end_s <= cue.start_s:
        raise AudioError(f"the cue at {cue.start_s:g} s has no length: it ends where it starts.")
