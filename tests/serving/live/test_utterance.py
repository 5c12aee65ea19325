"""An utterance of a live call keeps no more than a second of waiting sound."""

import asyncio

from emo_serving.live.messages import Start
from emo_serving.live.options import CallOptions, MediaFormat
from emo_serving.live.utterance import LiveUtterance
from helpers.platform_calls import MULAW, codes, packets


def waiting_after(service, given):
    """Return the number of waiting packets after each packet."""

    async def feed():
        options = CallOptions(MediaFormat("mulaw", 8000), interval_s=3600.0, text="hola")
        utterance = await LiveUtterance.begin(service, Start(options))
        counts = []
        for packet in given:
            if utterance.add(packet):
                assert await utterance.step() is None
            counts.append(len(utterance._waiting))
        event = await utterance.finish()
        assert event["final"]
        return counts

    return asyncio.run(feed())


def test_a_second_of_sound_waits_at_most(client):
    counts = waiting_after(client.app.service, packets(codes(MULAW, 2.0), 160))
    assert counts == [*range(1, 50), 0] * 2


def test_empty_packets_do_not_accumulate(client):
    assert waiting_after(client.app.service, [b""] * 1000) == [0] * 1000
