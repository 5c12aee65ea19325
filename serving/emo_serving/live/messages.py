"""Messages of a live call, independent of the platform that sends them."""

from dataclasses import dataclass
from typing import Any

import msgspec

from emo_serving.live.options import CallOptions


@dataclass(frozen=True)
class Start:
    """An utterance begins."""

    options: CallOptions
    stream_id: str = ""
    call_id: str = ""


class Media(msgspec.Struct, frozen=True):
    """A packet of sound; ``track`` is empty where the platform has only one.

    There are fifty a second in each call: it is created faster than a dataclass.
    """

    payload: bytes
    track: str = ""


@dataclass(frozen=True)
class Transcript:
    """The transcript of the utterance so far, from its beginning."""

    text: str


@dataclass(frozen=True)
class Mark:
    """An answer for everything so far is wanted; its event has the mark's name."""

    name: str


@dataclass(frozen=True)
class Stop:
    """The utterance ends: its final answer is wanted."""


@dataclass(frozen=True)
class Reply:
    """Something that the platform's protocol requires as a response, sent in this order."""

    content: dict[str, Any]


Message = Start | Media | Transcript | Mark | Stop | Reply
