"""Genesys AudioHook, version 2 (https://developer.genesys.cloud/devapps/audiohook/protocol-reference).

The client opens a session and offers media; sound follows as binary messages once the server has
answered ``opened``. Of two channels only "external", the customer, is recognized. The session's
id is the stream's id, the conversation's id the call's.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message, plain_parameters
from emo_serving.live.options import MediaFormat, call_options

_VERSION = "2"
_IGNORED = {"paused", "resumed", "discarded", "update", "error", "dtmf", "playback_started"} | {
    "playback_completed"
}
_EXTERNAL = "external"


class _Media(msgspec.Struct):
    """A media format that the client offers."""

    type: str
    format: str
    channels: list[str]
    rate: int


class _Parameters(msgspec.Struct, rename="camel"):
    """Parameters of a message."""

    conversation_id: str = ""
    media: list[_Media] = []
    input_variables: Any = None


class _Message(msgspec.Struct):
    """A message of the client."""

    version: str
    id: str
    type: str
    seq: int
    parameters: _Parameters


_decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


class AudioHook:
    """Messages of one AudioHook session."""

    name: ClassVar[str] = "audiohook"
    sends_events: ClassVar[bool] = False

    def __init__(self) -> None:
        self._sequence = 0
        self._channels = 1
        self._channel = 0

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        if isinstance(data, bytes):
            return (messages.Media(data[self._channel :: self._channels]),)
        message = decode_message(_decoder, data)
        if message.version != _VERSION:
            raise RequestError(f"AudioHook version {_VERSION} is supported.")
        match message.type:
            case "open":
                return self._open(message)
            case "ping":
                return (self._reply("pong", message, {}),)
            case "close":
                return (messages.Stop(), self._reply("closed", message, {}))
            case kind if kind in _IGNORED:
                return ()
        raise RequestError("not a message of AudioHook.")

    def _open(self, message: _Message) -> Sequence[messages.Message]:
        offered = message.parameters.media
        if not offered:  # a probe of the connection
            return (self._reply("opened", message, {"startPaused": False, "media": []}),)
        chosen = _choose(offered)
        self._channels = len(chosen.channels)
        self._channel = chosen.channels.index(_EXTERNAL)
        given = plain_parameters(message.parameters.input_variables)
        options = call_options(MediaFormat("mulaw", chosen.rate), given)
        parameters = {"startPaused": False, "media": [chosen]}
        return (
            messages.Start(
                options, check_id(message.id), check_id(message.parameters.conversation_id)
            ),
            self._reply("opened", message, parameters),
        )

    def _reply(self, kind: str, message: _Message, parameters: dict[str, Any]) -> messages.Reply:
        self._sequence += 1
        return messages.Reply(
            {
                "version": _VERSION,
                "type": kind,
                "seq": self._sequence,
                "clientseq": message.seq,
                "id": message.id,
                "parameters": parameters,
            }
        )


def _choose(offered: list[_Media]) -> _Media:
    """Return the offered format with the fewest channels, of those that are supported."""
    usable = [
        media
        for media in offered
        if media.type == "audio" and media.format == "PCMU" and _EXTERNAL in media.channels
    ]
    if not usable:
        raise RequestError("the session must offer audio in PCMU with the channel 'external'.")
    return min(usable, key=lambda media: len(media.channels))
