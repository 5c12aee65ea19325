"""The bodies of requests and answers, as OpenAPI shows them."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from emo_runtime import Answer, Utterance
from emo_runtime.bundle.manifest import TaskName

_ANSWER: dict[str, Any] = {
    "task": "fusion",
    "label": "anger",
    "confidence": 0.81,
    "scores": {
        "anger": 0.81,
        "disgust": 0.03,
        "fear": 0.05,
        "joy": 0.02,
        "neutral": 0.05,
        "sadness": 0.04,
    },
    "tokens": 14,
    "duration_s": 3.2,
    "provider": "CPUExecutionProvider",
    "timings": {
        "decode_ms": 0.6,
        "resample_ms": 0.9,
        "mfcc_ms": 1.4,
        "tokenize_ms": 0.1,
        "text_ms": 1.1,
        "fusion_ms": 0.1,
        "total_ms": 4.3,
    },
    "notes": [],
}
_ERROR: dict[str, Any] = {
    "kind": "AudioError",
    "message": "sound given as bytes: is empty (0 bytes). ...",
}


class UtteranceBody(BaseModel):
    """One thing said: its transcript, its sound, or both."""

    model_config = ConfigDict(
        extra="forbid",
        val_json_bytes="base64",
        json_schema_extra={"examples": [{"text": "¡Esto es una vergüenza!"}]},
    )

    text: str | None = Field(None, description="The transcript.")
    audio: bytes | None = Field(
        None,
        description="A sound file (WAV, FLAC, OGG, Opus, MP3), in base64.",
        json_schema_extra={
            "anyOf": [{"type": "string", "contentEncoding": "base64"}, {"type": "null"}]
        },
    )
    task: TaskName | None = Field(None, description="Insist on a task.")

    def utterance(self) -> Utterance:
        """As the recognizer takes it."""
        return Utterance(self.text, self.audio, self.task)


class BatchBody(BaseModel):
    """Several utterances; each is answered as if it came alone."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"utterances": [{"text": "¡Esto es una vergüenza!"}, {"text": "Qué alegría."}]}
            ]
        },
    )

    utterances: list[UtteranceBody]


class AnswerBody(RootModel[Answer]):
    """The emotion of one utterance: six calibrated probabilities that sum to 1."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ANSWER]})


class ErrorDetail(BaseModel):
    """What went wrong, and what to do."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ERROR]})

    kind: str
    message: str


class ErrorBody(BaseModel):
    """The answer to a request that failed."""

    error: ErrorDetail


class BatchAnswerBody(BaseModel):
    """An answer for each utterance, in their order; in place of one that failed, its error."""

    answers: list[AnswerBody | ErrorBody]


class Ready(BaseModel):
    """Whether the server takes calls."""

    status: str


class Description(BaseModel):
    """What is served, what runs it, and the limits."""

    model_config = ConfigDict(extra="allow")

    bundle: dict[str, Any]
    labels: list[str]
    tasks: list[TaskName]
    limits: dict[str, float]


class InferErrorBody(BaseModel):
    """An error in the Open Inference Protocol's form."""

    error: str
