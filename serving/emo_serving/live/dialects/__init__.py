"""Dialects: one adapter for each platform, from its messages to those of ``live.messages``."""

from collections.abc import Callable

from emo_serving.live.dialects.asterisk import Asterisk
from emo_serving.live.dialects.audiohook import AudioHook
from emo_serving.live.dialects.base import Dialect
from emo_serving.live.dialects.exotel import Exotel
from emo_serving.live.dialects.generic import Generic
from emo_serving.live.dialects.plivo import Plivo
from emo_serving.live.dialects.telnyx import Telnyx
from emo_serving.live.dialects.twilio import Twilio
from emo_serving.live.dialects.vonage import Vonage

_ALL: list[Callable[[], Dialect]] = [
    *(Generic, Twilio, Telnyx, Plivo, Exotel, Vonage, Asterisk, AudioHook)
]
DIALECTS = {dialect().name: dialect for dialect in _ALL}
