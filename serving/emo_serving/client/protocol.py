"""Requests, responses and messages of the server, independent of how they are sent."""

import base64
import contextlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from emo_runtime import Answer, ArgumentError, EmoError, Utterance

SUBPROTOCOL = "emo-stream"
# An answer has no side effects: the request is sent again.
RETRIED = {429, 502, 503, 504}
ATTEMPTS = 4
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
# Events are asked for with marks: the server sends none by itself.
_NO_INTERVAL_MS = 1e9


class ServerError(EmoError):
    """An error response. ``kind`` is the server's, such as TextError; ``status`` is HTTP's."""

    def __init__(self, message: str, kind: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class ConnectionFailedError(EmoError):
    """The server can't be reached, or the connection was lost repeatedly."""


class CallEvent(msgspec.Struct, frozen=True, rename="camel"):
    """An event of a live call: an answer, or an error."""

    event: str
    stream_sid: str = ""
    final: bool = False
    answer: Answer | None = None
    error: dict[str, str] | None = None
    mark: str | None = None


class _Error(msgspec.Struct):
    kind: str
    message: str


class _ErrorBody(msgspec.Struct):
    error: _Error


class _Batch(msgspec.Struct):
    answers: list[msgspec.Raw]


def authorization(token: str | None) -> dict[str, str]:
    """Return the headers that authenticate a client."""
    return {} if token is None else {"authorization": f"Bearer {token}"}


def answer_of(content: bytes) -> Answer:
    """Decode the answer to an utterance."""
    return msgspec.json.decode(content, type=Answer)


def answers_of(content: bytes) -> list[Answer | ServerError]:
    """Decode the answers to a batch; a row that failed has its error."""
    rows = msgspec.json.decode(content, type=_Batch).answers
    return [_error_of(row) or answer_of(bytes(row)) for row in rows]


def description_of(content: bytes) -> dict[str, Any]:
    """Decode the description of the server."""
    return msgspec.json.decode(content, type=dict[str, Any])


def error_of(status: int, content: bytes) -> ServerError:
    """Return the error of a response."""
    found = _error_of(content)
    if found is None:
        return ServerError(f"the server answered with status {status}.", "", status)
    found.status = status
    return found


def _error_of(content: bytes | msgspec.Raw) -> ServerError | None:
    with contextlib.suppress(msgspec.DecodeError):
        found = msgspec.json.decode(content, type=_ErrorBody).error
        return ServerError(found.message, found.kind)
    return None


def connection_error(where: str, error: Exception) -> ConnectionFailedError:
    """Return the error of a connection that could not be made, or was lost."""
    return ConnectionFailedError(
        f"{where}: the connection failed ({type(error).__name__}). Check the address, and that the "
        "server is running."
    )


def handshake_error(url: str, status: int, content: bytes) -> EmoError:
    """Return the error of a WebSocket that was refused: another attempt may help, or not."""
    if status in RETRIED:
        return ConnectionFailedError(f"{url}: refused with status {status}. Try again later.")
    return error_of(status, content)


def waiting_time(attempt: int, retry_after: str | None) -> float:
    """Return the seconds to wait before another attempt: random, or what the server asks for."""
    longest = min(_FIRST_WAIT_S * 2.0**attempt, _LONGEST_WAIT_S)
    wait = random.uniform(longest / 2, longest)  # noqa: S311
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        wait = max(wait, float(min(int(retry_after), 60)))
    return wait


def form_of(
    text: str | None, audio: str | Path | bytes | None, task: str | None, bundle: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return fields and files of the form for an utterance; without sound they are JSON."""
    given = {"text": text, "task": task, "bundle": bundle}
    fields = {name: value for name, value in given.items() if value}
    if audio is None:
        return fields, None
    return fields, {"audio": ("audio", _content(audio), "application/octet-stream")}


def batch_of(utterances: Iterable[Utterance], bundle: str | None) -> bytes:
    """Return the body of a batch. Raises ArgumentError for sound that is not a file."""
    rows = []
    for utterance in utterances:
        row: dict[str, Any] = {"text": utterance.text, "task": utterance.task}
        if utterance.audio is not None:
            if not isinstance(utterance.audio, str | Path | bytes):
                raise ArgumentError("audio: give a path or the bytes of a sound file.")
            row["audio"] = base64.b64encode(_content(utterance.audio)).decode()
        rows.append({name: value for name, value in row.items() if value is not None})
    body: dict[str, Any] = {"utterances": rows}
    return msgspec.json.encode(body | ({"bundle": bundle} if bundle else {}))


def bundle_path(bundle: str | None) -> str:
    """Return the path of a bundle's description."""
    return "/v1/bundle" + (f"?bundle={quote(bundle, safe='')}" if bundle else "")


def call_path(call_id: str, part: str) -> str:
    """Return the path of a part of a live call."""
    return f"/v1/calls/{quote(call_id, safe='')}/{part}"


def websocket_url(base_url: str) -> str:
    """Return the address of live calls. Raises ArgumentError."""
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ArgumentError(f"{base_url}: give the address of a server, such as http://host:8000.")
    return f"ws{parts.scheme[4:]}://{parts.netloc}{parts.path.rstrip('/')}/v1/stream"


@dataclass
class EventReader:
    """Reads server-sent events over several connections; what a server repeats is left out."""

    _id: str = ""
    _last: tuple[str, int] = ("", 0)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the next connection: the id of the last event."""
        run, number = self._last
        return {"Last-Event-ID": f"{run}-{number}"} if run else {}

    def events(self, line: str) -> Sequence[CallEvent]:
        """Return the new event of a line."""
        if line.startswith("id: "):
            self._id = line.removeprefix("id: ")
        if not line.startswith("data: "):
            return ()
        run, _, number = self._id.rpartition("-")
        if run == self._last[0] and int(number) <= self._last[1]:
            return ()
        self._last = run, int(number)
        return (msgspec.json.decode(line.removeprefix("data: "), type=CallEvent),)


class Utterances:
    """The messages of a live call's utterance, kept so that they can be sent again."""

    def __init__(
        self,
        *,
        sample_rate: int,
        encoding: str,
        channels: int,
        parameters: dict[str, Any],
        call_id: str,
    ) -> None:
        media = {"encoding": encoding, "sampleRate": sample_rate, "channels": channels}
        given = {name: value for name, value in parameters.items() if value is not None}
        body: dict[str, Any] = {
            "mediaFormat": media,
            "customParameters": {"interval_ms": _NO_INTERVAL_MS} | given,
        }
        if call_id:
            body["callSid"] = call_id
        self._start = _encoded({"event": "start", "start": body})
        self._packets: list[bytes] = []
        self._text: str | None = None
        self._marks = 0

    def add_packet(self, packet: bytes) -> bytes:
        """Return the message for a packet."""
        self._packets.append(packet)
        return packet

    def add_text(self, text: str) -> str:
        """Return the message for the transcript so far."""
        self._text = text
        return _encoded({"event": "transcript", "transcript": {"text": text}})

    def add_mark(self) -> tuple[str, str]:
        """Return the message that asks for an answer, and the mark's name."""
        self._marks += 1
        name = f"m{self._marks}"
        return _encoded({"event": "mark", "mark": {"name": name}}), name

    def stop(self) -> str:
        """Return the message that asks for the final answer."""
        return _encoded({"event": "stop"})

    def all_so_far(self) -> list[str | bytes]:
        """Return all messages of the utterance, for a new connection."""
        text = [] if self._text is None else [self.add_text(self._text)]
        return [self._start, *self._packets, *text]

    def next_utterance(self) -> None:
        """Forget the sound and the transcript; the next message begins an utterance."""
        self._packets = []
        self._text = None


def matching(data: str | bytes, mark: str | None) -> Answer | None:
    """Return the answer of an event if it has the mark, or is final if that is None.

    Raises:
        ServerError: The event is an error.
    """
    event = msgspec.json.decode(data, type=CallEvent)
    if event.error is not None:
        raise ServerError(event.error.get("message", ""), event.error.get("kind", ""))
    wanted = event.final if mark is None else event.mark == mark
    return event.answer if wanted else None


def _content(audio: str | Path | bytes) -> bytes:
    return audio if isinstance(audio, bytes) else Path(audio).read_bytes()


def _encoded(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()
