"""Common part of the platforms whose messages are JSON events with sound in base64.

Twilio Media Streams introduced these events. A dialect lists the events that its platform
documents, with a ``start`` event of its own; every other event is an error.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from emo_serving.live import messages
from emo_serving.live.dialects.base import decode_message


class Event(msgspec.Struct, tag_field="event"):
    """A message of a platform, named by its field ``event``."""


class StartEvent(Event, tag="start"):
    """The stream begins. Each platform has a subclass with its own fields."""

    @abstractmethod
    def to_start(self) -> messages.Start:
        """Return the start of an utterance. Raises RequestError for a wrong format or option."""


class MediaBody(msgspec.Struct):
    """A packet in base64; ``track`` is empty if the platform sends a single track."""

    payload: bytes
    track: str = ""


class MediaEvent(Event, tag="media"):
    """A packet."""

    media: MediaBody


class TrackedMediaBody(MediaBody):
    """A packet whose track is always named."""

    track: str


class TrackedMediaEvent(MediaEvent, tag="media"):
    """A packet whose track is always named."""

    media: TrackedMediaBody


class StopEvent(Event, tag="stop"):
    """The stream ends."""


class ConnectedEvent(Event, tag="connected"):
    """The first message."""


class DtmfEvent(Event, tag="dtmf"):
    """A key was pressed."""


class MarkEvent(Event, tag="mark"):
    """Sound that the server sent was played; this server sends none."""


class MediaStreams:
    """Base class of these dialects: ``decoder`` accepts the events of the platform."""

    name: ClassVar[str]
    sends_events: ClassVar[bool] = False
    decoder: ClassVar[msgspec.json.Decoder[Event]]

    def parse(self, data: str | bytes) -> Sequence[messages.Message]:
        """Return what a message means."""
        event = decode_message(self.decoder, data)
        if isinstance(event, MediaEvent):  # by far the most frequent one
            return self.on_media(event)
        match event:
            case StartEvent() as event:
                return self.on_start(event)
            case StopEvent():
                return self.on_stop()
            case event:
                return self.on_other(event)

    def on_start(self, event: StartEvent) -> Sequence[messages.Message]:
        """Return what a start event means."""
        return (event.to_start(),)

    def on_media(self, event: MediaEvent) -> Sequence[messages.Message]:
        """Return what a packet means."""
        return (messages.Media(event.media.payload, event.media.track),)

    def on_stop(self) -> Sequence[messages.Message]:
        """Return what a stop event means."""
        return (messages.Stop(),)

    def on_other(self, event: Event) -> Sequence[messages.Message]:  # noqa: ARG002
        """Return what another event of the platform means: nothing, unless overridden."""
        return ()
