"""The interface of a dialect, and what several of them share."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from emo_serving.api.schemas import reason_of
from emo_serving.errors import RequestError
from emo_serving.live.messages import Message

Decoded = TypeVar("Decoded")

# The largest number of characters of an identifier that a platform gives.
MAX_ID = 256


class Dialect(Protocol):
    """Messages of one platform, in one connection.

    ``sends_events`` is True if emotion and error events are sent over this connection. Platforms
    do not expect them: the events of their calls are read from /v1/calls.
    """

    name: ClassVar[str]
    sends_events: ClassVar[bool]

    def parse(self, data: str | bytes) -> Sequence[Message]:
        """Return what a WebSocket message means. Raises RequestError for an unknown one."""
        ...


def decode_message(decoder: msgspec.json.Decoder[Decoded], data: str | bytes) -> Decoded:
    """Decode a JSON message. Raises RequestError, whose message never quotes it."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"not a message of a live call: {reason_of(error)}") from None


def check_id(value: str) -> str:
    """Return an identifier of the platform. Raises RequestError if it is too long."""
    if len(value) > MAX_ID:
        raise RequestError(f"an identifier of more than {MAX_ID} characters.")
    return value


def plain_parameters(given: Any) -> dict[str, str | float | None]:
    """Return the parameters of a call that are strings or numbers. Raises RequestError."""
    try:
        return msgspec.convert(given or {}, dict[str, str | float | None])
    except msgspec.ValidationError:
        raise RequestError("the parameters of a call must be strings or numbers.") from None
