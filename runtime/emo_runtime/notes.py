"""Notes on the input of an answer: a stable code for programs, a message for people."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

NoteCode: TypeAlias = Literal[
    "audio_truncated",
    "byte_order",
    "channels_cancel",
    "channels_swapped",
    "clipped",
    "cue_adjusted",
    "cut_off",
    "damaged",
    "narrow_band",
    "quiet",
    "silent",
    "silent_channel",
    "text_truncated",
    "too_short",
    "trailing_data",
    "transcript_without_speech",
    "unknown_text",
]

#: When each code is given. Codes are stable; messages may change between versions.
NOTE_CODES: Final[dict[NoteCode, str]] = {
    "audio_truncated": "The sound is longer than the model accepts; only its beginning was used.",
    "byte_order": "The samples look like noise in the given byte order, like speech in the other.",
    "channels_cancel": "The mean of the channels cancels the sound; the louder channel was used.",
    "channels_swapped": "The transcripts of two channels seem to belong to each other's channel.",
    "clipped": "Many samples are at full scale.",
    "cue_adjusted": "The start or the end of a cue was missing or impossible and was adjusted.",
    "cut_off": "The recording ends before the length that its header states.",
    "damaged": "Parts of the recording could not be decoded; the rest was used.",
    "narrow_band": "The sound has a smaller bandwidth than the training data of the model.",
    "quiet": "The level of the sound is very low.",
    "silent": "The sound has no speech: its level is too low, or constant (noise, a tone).",
    "silent_channel": "One of several channels is silent.",
    "text_truncated": "The transcript has more tokens than the model accepts; the rest is ignored.",
    "too_short": "The sound is too short for a reliable answer.",
    "trailing_data": "The file holds data after the sound that was used.",
    "transcript_without_speech": "There is a transcript, but the sound has no speech.",
    "unknown_text": "The vocabulary of the model has no word of the transcript.",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on the input of an answer; ``str(note)`` is its message.

    ``code`` is one of ``NOTE_CODES``.
    """

    code: NoteCode
    message: str

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, str]:
        """Return the note as plain values for JSON."""
        return {"code": self.code, "message": self.message}
