"""Vonage Voice API WebSockets (https://developer.vonage.com/en/voice/voice-api/guides/websockets).

The first message names the sample rate and has the ``headers`` of the NCCO's endpoint as fields.
Sound follows as binary messages, 16-bit little-endian PCM. Vonage closes the connection at the
end. Give the call's id as a header ``call_id``, and other parameters as headers too.
"""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from emo_serving.errors import RequestError
from emo_serving.live import messages
from emo_serving.live.dialects.base import check_id, decode_message
from emo_serving.live.options import MediaFormat, call_options

_CONTENT_TYPE = re.compile(r"audio/l16;\s*rate=(8000|16000|24000)")
_IGNORED = {"websocket:cleared", "websocket:notify", "websocket:dtmf"}
_decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


class Vonage:
    """Messages of the Vonage Voice API."""

    name: ClassVar[str] = "vonage"
    sends_events: ClassVar[bool] = False

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        if isinstance(data, bytes):
            return (messages.Media(data),)
        message = decode_message(_decoder, data)
        event = message.get("event")
        if event == "websocket:connected":
            return (_started(message),)
        if isinstance(event, str) and event in _IGNORED:
            return ()
        raise RequestError("not an event of a Vonage WebSocket.")


def _started(message: dict[str, Any]) -> messages.Start:
    content_type = _CONTENT_TYPE.fullmatch(str(message.get("content-type")))
    if content_type is None:
        raise RequestError("content-type must be audio/l16;rate=8000, 16000 or 24000.")
    given = {name: value for name, value in message.items() if isinstance(value, str | int | float)}
    options = call_options(MediaFormat("pcm_s16le", int(content_type[1])), given)
    call_id = check_id(str(given.get("call_id", "")))
    return messages.Start(options, call_id, call_id)
