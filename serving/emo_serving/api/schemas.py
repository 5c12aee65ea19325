"""Bodies of requests and responses, as msgspec types and thus as OpenAPI describes them."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from emo_runtime import Answer, Utterance
from emo_runtime.bundle.manifest import TaskName
from emo_serving.errors import RequestError, TooLargeError

Body = TypeVar("Body")

# A field's name is the client's data.
_UNKNOWN_FIELD = re.compile("unknown field `.*`")
# As in "Invalid value 'pause' - at `$.event`".
_INVALID_VALUE = re.compile(r"^(Invalid (?:enum )?value) .*?(?= - at `\$|$)", re.DOTALL)
TASKS: tuple[TaskName, ...] = get_args(TaskName)
_TASKS: dict[str, TaskName] = {task: task for task in TASKS}


_BUNDLE = Meta(description="Name of the bundle that answers; default: the server's first.")


class UtteranceRow(Struct, forbid_unknown_fields=True):
    """One utterance of a batch: its transcript, its sound, or both."""

    text: Annotated[str | None, Meta(description="The transcript.")] = None
    audio: Annotated[
        bytes | None, Meta(description="A sound file (WAV, FLAC, Ogg, Opus, MP3) in base64.")
    ] = None
    task: Annotated[
        TaskName | None, Meta(description="The task to use; default: what the inputs allow.")
    ] = None

    def utterance(self) -> Utterance:
        """Return the utterance for the recognizer."""
        return Utterance(self.text, self.audio, self.task)


class UtteranceBody(UtteranceRow, forbid_unknown_fields=True):
    """One utterance: its transcript, its sound, or both."""

    bundle: Annotated[str | None, _BUNDLE] = None


class BatchBody(Struct, forbid_unknown_fields=True):
    """Several utterances; each is answered independently of the others."""

    utterances: list[UtteranceRow]
    bundle: Annotated[str | None, _BUNDLE] = None


class _RawBatch(Struct, forbid_unknown_fields=True):
    utterances: Raw
    bundle: str | None = None


@dataclass(frozen=True)
class Requested:
    """An utterance, and the name of the bundle that is to answer it (None: the default)."""

    utterance: Utterance
    bundle: str | None = None


class ErrorDetail(Struct):
    """What is wrong, and the remedy."""

    kind: str
    message: str


class ErrorBody(Struct):
    """The response to a failed request."""

    error: ErrorDetail


# Written out: msgspec decodes no union of a dataclass and a struct.
_ANSWER_OR_ERROR = [
    {"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Answer, ErrorBody)
]


class BatchAnswer(Struct):
    """An answer for each utterance, in order; for one that failed, its error."""

    answers: list[Annotated[Any, Meta(extra_json_schema={"anyOf": _ANSWER_OR_ERROR})]]


class Status(Struct):
    """State of the server: ``ok``, ``ready``, ``overloaded`` or ``stopping``."""

    status: str


class Description(Struct):
    """A bundle with its name here, the names of all, what runs it, and the limits."""

    name: str
    bundles: list[str]
    bundle: dict[str, Any]
    labels: list[str]
    tasks: list[TaskName]
    limits: dict[str, float]
    graphs: dict[str, dict[str, Any]]
    provider_requested: str | list[str]
    mode: str
    threads: dict[str, Any]
    huge_page_bytes: int | None
    telemetry_off: bool
    versions: dict[str, str]
    onnxruntime_distributions: list[str]


def decode(kind: type[Body], body: bytes | Raw) -> Body:
    """Decode a JSON body. Raises RequestError, whose message never quotes the body."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"body: {reason_of(error)}") from None


@dataclass(frozen=True)
class Batch:
    """A decoded batch: an utterance or its error for each row, and the name of the bundle."""

    rows: list[Utterance | RequestError]
    bundle: str | None = None


def decode_utterance(body: bytes | Raw) -> Requested:
    """Decode a JSON utterance. Raises RequestError."""
    decoded = decode(UtteranceBody, body)
    return Requested(decoded.utterance(), decoded.bundle)


def decode_batch(body: bytes, max_batch: int) -> Batch:
    """Decode a JSON batch; a malformed utterance becomes its error.

    Raises:
        RequestError: The batch itself is malformed.
        TooLargeError: It has more than ``max_batch`` utterances.
    """
    batch = decode(_RawBatch, body)
    decoded: list[Utterance | RequestError] = []
    for row in bounded_list(batch.utterances, max_batch, "utterances"):
        try:
            decoded.append(decode(UtteranceRow, row).utterance())
        except RequestError as error:
            decoded.append(error)
    return Batch(decoded, batch.bundle)


def bounded_list(array: Raw, limit: int, what: str) -> list[Raw]:
    """Split a JSON array into at most ``limit`` undecoded elements.

    Decoding stops at the first element beyond the limit: millions of elements would take seconds.
    Raises RequestError, TooLargeError.
    """
    try:
        row = msgspec.json.decode(array, type=_array_type(limit + 1))
    except msgspec.ValidationError as error:
        if "at most length" not in str(error):
            raise RequestError(f"{what}: {reason_of(error)}") from None
        row = None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"{what}: {reason_of(error)}") from None
    elements = [] if row is None else [getattr(row, name) for name in row.__struct_fields__]
    elements = [element for element in elements if element is not UNSET]
    if row is None or len(elements) > limit:
        raise TooLargeError(f"more than {limit} {what}, which is the limit: send several requests.")
    return elements


def check_task(task: str | None) -> TaskName | None:
    """Return a task's name if there is such a task. Raises RequestError."""
    if task is None:
        return None
    if task not in _TASKS:
        raise RequestError(f"task is one of: {', '.join(TASKS)}.")
    return _TASKS[task]


def reason_of(error: Exception) -> str:
    """Return the first line of a decoding error, which never quotes the body."""
    if isinstance(error, msgspec.DecodeError):
        unquoted = _INVALID_VALUE.sub(r"\1", str(error))
        return _UNKNOWN_FIELD.sub("an unknown field", unquoted.partition("\n")[0])[:200]
    return "not UTF-8." if isinstance(error, UnicodeError) else "nested too deeply."


@cache
def _array_type(length: int) -> type[Struct]:
    """Return a struct of ``length`` optional elements that is decoded from a JSON array."""
    fields = [(f"row{number}", Raw | msgspec.UnsetType, UNSET) for number in range(length)]
    return msgspec.defstruct("Rows", fields, array_like=True, forbid_unknown_fields=True)
