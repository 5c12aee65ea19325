"""Emotion in spoken Spanish, from sound and transcript, in milliseconds.

>>> from emo_runtime import EmotionRecognizer
>>> recognizer = EmotionRecognizer.open()
>>> answer = recognizer.recognize(text="Estoy muy contenta con el resultado.")
>>> answer.label, round(sum(answer.scores.values()), 6)
('joy', 1.0)
"""

from emo_runtime.errors import (
    ArgumentError,
    AudioError,
    BundleError,
    ClosedError,
    EmoError,
    MissingExtraError,
    OverloadedError,
    ProviderError,
    SelfTestError,
    TaskError,
    TextError,
)
from emo_runtime.notes import Note
from emo_runtime.recognizer import EmotionRecognizer
from emo_runtime.result import Answer, Timings, Utterance
from emo_runtime.speaker import Speaker
from emo_runtime.stream import EmotionStream
from emo_runtime.text.transcripts import Cue, read_transcript
from emo_runtime.timeline import Moment
from emo_runtime.version import __version__

__all__ = [
    "Answer",
    "ArgumentError",
    "AudioError",
    "BundleError",
    "ClosedError",
    "Cue",
    "EmoError",
    "EmotionRecognizer",
    "EmotionStream",
    "MissingExtraError",
    "Moment",
    "Note",
    "OverloadedError",
    "ProviderError",
    "SelfTestError",
    "Speaker",
    "TaskError",
    "TextError",
    "Timings",
    "Utterance",
    "__version__",
    "read_transcript",
]
