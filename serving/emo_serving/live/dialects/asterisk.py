"""Asterisk's WebSocket channel driver, chan_websocket.

https://docs.asterisk.org/Configuration/Channel-Drivers/WebSocket/

Control messages are JSON or plain text (``MEDIA_START name:value ...``); sound is binary. Asterisk
closes the connection at the end. Signed linear formats are little-endian on x86-64 and ARM64.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message
from emo_serving.live.options import MediaFormat, call_options

_FORMATS = {
    "ulaw": MediaFormat("mulaw", 8000),
    "alaw": MediaFormat("alaw", 8000),
    "slin": MediaFormat("pcm_s16le", 8000),
    "slin12": MediaFormat("pcm_s16le", 12000),
    "slin16": MediaFormat("pcm_s16le", 16000),
    "slin24": MediaFormat("pcm_s16le", 24000),
    "slin32": MediaFormat("pcm_s16le", 32000),
    "slin44": MediaFormat("pcm_s16le", 44100),
    "slin48": MediaFormat("pcm_s16le", 48000),
}
# Events about sound that the server sends, of which there is none, and keys.
_IGNORED = {
    *("MEDIA_XON", "MEDIA_XOFF", "STATUS", "MEDIA_BUFFERING_COMPLETED", "QUEUE_DRAINED"),
    *("MEDIA_MARK_PROCESSED", "DTMF_END"),
}
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class Asterisk:
    """Messages of chan_websocket."""

    name: ClassVar[str] = "asterisk"
    sends_events: ClassVar[bool] = False

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        if isinstance(data, bytes):
            return (messages.Media(data),)
        message = decode_message(_decoder, data) if data.lstrip().startswith("{") else _plain(data)
        event = message.get("event")
        if event == "MEDIA_START":
            return (_started(message),)
        if isinstance(event, str) and event in _IGNORED:
            return ()
        raise RequestError("not an event of chan_websocket.")


def _plain(data: str) -> dict[str, Any]:
    event, *pairs = data.split() or [""]
    named = (pair.partition(":") for pair in pairs)
    return {"event": event} | {name: value for name, _, value in named}


def _started(message: Mapping[str, Any]) -> messages.Start:
    media = _FORMATS.get(str(message.get("format")))
    if media is None:
        raise RequestError(f"format must be one of: {', '.join(_FORMATS)}.")
    variables = message.get("channel_variables")
    given = variables if isinstance(variables, dict) else {}
    # Channel variables are inherited by name: EMO_task, EMO_text and so on.
    options = {
        name.removeprefix("EMO_"): value
        for name, value in given.items()
        if name.startswith("EMO_") and isinstance(value, str)
    }
    stream_id = check_id(str(message.get("channel_id", "")))
    call_id = check_id(str(message.get("connection_id", "")))
    return messages.Start(call_options(media, options), stream_id, call_id)
