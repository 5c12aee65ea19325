"""Live calls of the other workers, over Unix sockets in a folder that only this user can open.

A request is one frame. So is the answer, except to ``Events``, where frames follow each other until
the end of the connection. A frame is a length of 4 bytes and a MessagePack message.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import emo_runtime
from emo_runtime import EmoError
from emo_serving import errors
from emo_serving.calls import Call, CallRegistry, NumberedEvent
from emo_serving.errors import NotFoundError, UnavailableError

_LENGTH = struct.Struct("!I")
# A transcript or an event; the server's own limits are lower.
_MAX_FRAME = 64 << 20
_TIMEOUT_S = 10.0
Decoded = TypeVar("Decoded")


class Find(msgspec.Struct, tag=True):
    """Is there such a call?"""

    call_id: str
    owner: str


class Events(Find, tag=True):
    """Send its events; None if there was none for ``timeout_s``."""

    timeout_s: float
    after: str


class SetTranscript(Find, tag=True):
    """Set its transcript."""

    text: str


class Found(msgspec.Struct):
    """State of a call."""

    ended: bool
    begun: float
    last_id: str


class Failure(msgspec.Struct):
    """An error; None: there was none."""

    kind: str | None = None
    message: str = ""


_request = msgspec.msgpack.Decoder(Find | Events | SetTranscript)
_found = msgspec.msgpack.Decoder(Found | None)
_event = msgspec.msgpack.Decoder(NumberedEvent | None)
_failure = msgspec.msgpack.Decoder(Failure)


class RemoteCall:
    """A call of another worker."""

    def __init__(self, path: Path, call_id: str, owner: str, found: Found) -> None:
        self._path = path
        self._call_id = call_id
        self._owner = owner
        self.ended = found.ended
        self.begun = found.begun
        self.last_id = found.last_id

    async def events(
        self, timeout_s: float, after: str = ""
    ) -> AsyncIterator[NumberedEvent | None]:
        """Yield the kept events, then those to come until the call's end."""
        request = Events(self._call_id, self._owner, timeout_s, after)
        with contextlib.suppress(OSError, EOFError):  # the worker has ended, and its calls with it
            async with _connected(self._path, request) as reader:
                while True:
                    yield await _receive(reader, _event)

    async def set_transcript(self, text: str) -> None:
        """Set the transcript. Raises the error that the other worker has raised."""
        request = SetTranscript(self._call_id, self._owner, text)
        try:
            async with _connected(self._path, request) as reader:
                failure = await _receive(reader, _failure)
        except (OSError, EOFError):
            raise UnavailableError("the worker of this call has ended.") from None
        if failure.kind is not None:
            raise _error(failure.kind, failure.message)


class SocketPeers:
    """Sockets of all workers in a folder, each named by its slot."""

    def __init__(self, folder: Path, slot: int) -> None:
        self._folder = folder
        self._own = folder / f"{slot}.sock"

    async def find(self, call_id: str, owner: str) -> list[Call]:
        """Return the calls with this id and owner. A worker that does not answer has none."""
        paths = [path for path in self._folder.glob("*.sock") if path != self._own]
        found = await asyncio.gather(*(_ask(path, call_id, owner) for path in paths))
        return [call for call in found if call is not None]

    async def listen(self, calls: CallRegistry) -> asyncio.Server:
        """Answer the other workers."""
        self._own.unlink(missing_ok=True)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await _answer(calls, reader, writer)
            except (OSError, EOFError, msgspec.DecodeError):
                return
            finally:
                writer.close()

        return await asyncio.start_unix_server(answer, self._own)


async def _ask(path: Path, call_id: str, owner: str) -> Call | None:
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            _connected(path, Find(call_id, owner)) as reader,
        ):
            found = await _receive(reader, _found)
    except (OSError, EOFError):  # TimeoutError is an OSError
        return None
    return None if found is None else RemoteCall(path, call_id, owner, found)


async def _answer(
    calls: CallRegistry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    request = await _receive(reader, _request)
    call = calls.get(request.call_id, request.owner)
    match request:
        case Events():
            if call is not None:
                await _send_events(call, request, reader, writer)
        case SetTranscript(text=text):
            await _send(writer, await _set_transcript(call, text))
        case Find():
            await _send(writer, None if call is None else _found_of(call))


def _found_of(call: Call) -> Found:
    return Found(call.ended, call.begun, call.last_id)


async def _send_events(
    call: Call, request: Events, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Send events until the call's end or until the other side closes the connection."""

    async def send() -> None:
        async for event in call.events(request.timeout_s, request.after):
            await _send(writer, event)

    tasks = [asyncio.create_task(send()), asyncio.create_task(reader.read())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _set_transcript(call: Call | None, text: str) -> Failure:
    try:
        if call is None:
            raise NotFoundError("there is no such call here.")
        await call.set_transcript(text)
    except EmoError as error:
        return Failure(type(error).__name__, str(error))
    return Failure()


def _error(kind: str, message: str) -> EmoError:
    """Return the error of the other worker; it has one of our own classes."""
    found: Any = getattr(errors, kind, None) or getattr(emo_runtime, kind, EmoError)
    error: EmoError = found(message)
    return error


@contextlib.asynccontextmanager
async def _connected(path: Path, request: msgspec.Struct) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        await _send(writer, request)
        yield reader
    finally:
        writer.close()


async def _send(writer: asyncio.StreamWriter, message: object) -> None:
    data = msgspec.msgpack.encode(message)
    writer.write(_LENGTH.pack(len(data)) + data)
    await writer.drain()


async def _receive(
    reader: asyncio.StreamReader, decoder: "msgspec.msgpack.Decoder[Decoded]"
) -> Decoded:
    """Return the next message. Raises EOFError (IncompleteReadError) at the end."""
    [length] = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > _MAX_FRAME:
        raise EOFError
    return decoder.decode(await reader.readexactly(length))
