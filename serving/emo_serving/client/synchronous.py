"""The synchronous client; the asynchronous one has the same methods."""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from emo_runtime import Answer, Utterance
from emo_serving.client import protocol
from emo_serving.client.protocol import CallEvent, ConnectionFailedError, ServerError

_LOST = (OSError, WebSocketException)


class Client:
    """A client of one server. Close it with ``with`` or ``close()``.

    Requests that were refused for the moment (429, 502, 503, 504), or whose connection failed, are
    sent again.

    Args:
        base_url: Address of the server, such as ``http://127.0.0.1:8000``.
        token: Its bearer token.
        timeout_s: Time for a response.
    """

    def __init__(self, base_url: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self._websocket_url = protocol.websocket_url(base_url)
        self._headers = protocol.authorization(token)
        self._http = httpx2.Client(base_url=base_url, headers=self._headers, timeout=timeout_s)

    def recognize(
        self,
        text: str | None = None,
        audio: str | Path | bytes | None = None,
        *,
        task: str | None = None,
        bundle: str | None = None,
    ) -> Answer:
        """Return the answer to an utterance.

        Args:
            text: The transcript.
            audio: Path or bytes of a sound file.
            task: Task to use; None: what the inputs allow.
            bundle: Name of the bundle that answers; None: the server's first.

        Raises:
            ServerError: The server refused the utterance.
            ConnectionFailedError: The server can't be reached.
        """
        fields, files = protocol.form_of(text, audio, task, bundle)
        if files is None:
            return protocol.answer_of(self._post("/v1/recognize", json=fields))
        return protocol.answer_of(self._post("/v1/recognize", data=fields, files=files))

    def recognize_batch(
        self, utterances: Iterable[Utterance], *, bundle: str | None = None
    ) -> list[Answer | ServerError]:
        """Return the answers in the order of the utterances, an error for one that failed."""
        body = protocol.batch_of(utterances, bundle)
        headers = {"content-type": "application/json"}
        content = self._post("/v1/recognize/batch", content=body, headers=headers)
        return protocol.answers_of(content)

    def describe(self, bundle: str | None = None) -> dict[str, Any]:
        """Return the bundle, its runtime and the limits of the server."""
        return protocol.description_of(self._request("GET", protocol.bundle_path(bundle)))

    def set_transcript(self, call_id: str, text: str) -> None:
        """Set the transcript of a live call that a telephone platform has opened."""
        self._post(protocol.call_path(call_id, "transcript"), json={"text": text})

    def call_events(self, call_id: str) -> Iterator[CallEvent]:
        """Yield the events of a live call until its end, over another connection if one is lost."""
        reader = protocol.EventReader()
        failures = 0
        while True:
            try:
                path = protocol.call_path(call_id, "events")
                with self._http.stream("GET", path, headers=reader.headers) as response:
                    if response.status_code == 204:  # the call has ended
                        return
                    if response.status_code != 200:
                        raise protocol.error_of(response.status_code, response.read())
                    for line in response.iter_lines():
                        for event in reader.events(line):
                            yield event
                            failures = 0
                    return
            except httpx2.TransportError as error:
                failures += 1
                if failures >= protocol.ATTEMPTS:
                    raise protocol.connection_error(path, error) from None
                time.sleep(protocol.waiting_time(failures, None))

    def live_call(
        self,
        *,
        sample_rate: int,
        encoding: str = "pcm_s16le",
        channels: int = 1,
        call_id: str = "",
        **parameters: str | float | None,
    ) -> "LiveCall":
        """Return a live call, to be used with ``with``.

        Args:
            sample_rate: Rate of the packets in Hz.
            encoding: ``pcm_s16le``, ``pcm_f32le``, ``mulaw`` or ``alaw``.
            channels: Number of interleaved channels.
            call_id: Id of the call for other clients and for webhooks.
            parameters: ``task``, ``bundle``, ``window_s``, ``text``, ``speaker``, ``webhook``.
        """
        utterances = protocol.Utterances(
            sample_rate=sample_rate,
            encoding=encoding,
            channels=channels,
            parameters=parameters,
            call_id=call_id,
        )
        return LiveCall(self._websocket_url, self._headers, utterances)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _post(self, path: str, **options: Any) -> bytes:
        return self._request("POST", path, **options)

    def _request(self, method: str, path: str, **options: Any) -> bytes:
        for attempt in range(protocol.ATTEMPTS):
            is_last = attempt == protocol.ATTEMPTS - 1
            try:
                response = self._http.request(method, path, **options)
            except httpx2.TransportError as error:
                if is_last:
                    raise protocol.connection_error(path, error) from None
                time.sleep(protocol.waiting_time(attempt, None))
                continue
            if response.status_code == 200:
                return response.content
            if is_last or response.status_code not in protocol.RETRIED:
                break
            retry_after = response.headers.get("retry-after")
            time.sleep(protocol.waiting_time(attempt, retry_after))
        raise protocol.error_of(response.status_code, response.content)


class LiveCall:
    """A live call: several utterances after each other.

    The sound of the utterance in progress is kept: if the connection is lost, all of it is sent
    again over another one, and the answers are the same.
    """

    def __init__(self, url: str, headers: dict[str, str], utterances: protocol.Utterances) -> None:
        self._url = url
        self._headers = headers
        self._utterances = utterances
        self._connection: ClientConnection | None = None
        self._begun = False
        self._stack = ExitStack()

    def feed(self, packet: bytes) -> None:
        """Send a packet. Raises ConnectionFailedError."""
        self._begin()
        self._send(self._utterances.add_packet(packet))

    def set_text(self, text: str) -> None:
        """Send the transcript so far. Raises ConnectionFailedError."""
        self._begin()
        self._send(self._utterances.add_text(text))

    def partial(self) -> Answer:
        """Return the answer to what was sent so far. Raises ServerError."""
        self._begin()
        message, mark = self._utterances.add_mark()
        return self._answer(message, mark)

    def finish(self) -> Answer:
        """Return the answer to the whole utterance; the next packet begins another one."""
        self._begin()
        try:
            return self._answer(self._utterances.stop(), None)
        finally:
            self._utterances.next_utterance()
            self._begun = False

    def __enter__(self) -> Self:
        self._connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            for message in self._utterances.all_so_far():
                self._send(message)

    def _send(self, message: str | bytes) -> None:
        try:
            self._connected().send(message)
        except _LOST:
            self._reconnect()  # this sends the message too

    def _answer(self, message: str, mark: str | None) -> Answer:
        for _ in range(protocol.ATTEMPTS):
            try:
                self._connected().send(message)
                while True:
                    answer = protocol.matching(self._connected().recv(), mark)
                    if answer is not None:
                        return answer
            except _LOST:
                self._reconnect()
        raise ConnectionFailedError(f"{self._url}: the connection was lost repeatedly.")

    def _reconnect(self) -> None:
        for attempt in range(protocol.ATTEMPTS):
            time.sleep(protocol.waiting_time(attempt, None))
            try:
                self._connect()
                for message in self._utterances.all_so_far():
                    self._connected().send(message)
            except (*_LOST, ConnectionFailedError):
                continue
            return
        raise ConnectionFailedError(f"{self._url}: the connection was lost and can't be restored.")

    def _connect(self) -> None:
        try:
            self._stack.close()
            opened = connect(self._url, additional_headers=self._headers)
            self._connection = self._stack.enter_context(opened)
        except InvalidStatus as error:
            status, body = error.response.status_code, bytes(error.response.body or b"")
            raise protocol.handshake_error(self._url, status, body) from None
        except _LOST as error:
            raise protocol.connection_error(self._url, error) from None

    def _connected(self) -> ClientConnection:
        if self._connection is None:
            raise ConnectionFailedError("use the call in a 'with' block.")
        return self._connection
