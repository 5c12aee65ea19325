"""The events that each platform documents are accepted, those of the others are refused."""

import json

import pytest

from emo_serving.errors import RequestError
from emo_serving.live.dialects import DIALECTS
from emo_serving.live.messages import Media
from helpers.platform_calls import b64

IGNORED = {
    "generic": {"connected", "dtmf"},
    "twilio": {"connected", "dtmf", "mark"},
    "telnyx": {"connected", "dtmf", "mark", "error"},
    "plivo": {"dtmf", "playedStream", "clearedAudio"},
    "exotel": {"connected", "dtmf", "mark", "clear"},
}
OTHERS = {"Event", "start", "StartEvent", "clearAudio", "sing"}
# The marks of the server's own dialect request an answer.
MEANINGFUL = {"generic": {"mark"}}


@pytest.mark.parametrize("name", IGNORED)
def test_only_the_platforms_own_events_are_accepted(name):
    given = set().union(*IGNORED.values(), OTHERS) - MEANINGFUL.get(name, set())
    if name == "generic":
        given.remove("start")  # all its fields have defaults
    refused = set()
    for event in given:
        try:
            assert list(DIALECTS[name]().parse(json.dumps({"event": event}))) == []
        except RequestError:
            refused.add(event)
    assert given - refused == IGNORED[name]


@pytest.mark.parametrize(
    ("name", "optional"),
    [("generic", True), ("exotel", True), ("twilio", False), ("telnyx", False), ("plivo", False)],
)
def test_the_track_of_a_packet_is_required_where_the_platform_always_names_it(name, optional):
    media = {"payload": b64(b"\x80" * 160), "chunk": "1"}
    message = json.dumps({"event": "media", "media": media})
    if optional:
        assert list(DIALECTS[name]().parse(message)) == [Media(b"\x80" * 160)]
    else:
        with pytest.raises(RequestError, match="track"):
            DIALECTS[name]().parse(message)
    tracked = json.dumps({"event": "media", "media": media | {"track": "inbound"}})
    assert list(DIALECTS[name]().parse(tracked)) == [Media(b"\x80" * 160, "inbound")]
