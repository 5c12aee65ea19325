"""An open WebSocket: back-pressure, pings, the closing handshake, and what a client can't do."""

import asyncio

import pytest

from emo_serving.live.transport import Disconnected
from emo_serving.websocket import connection as module
from emo_serving.websocket.connection import WebSocketConnection
from emo_serving.websocket.frames import CLOSE, PING, PONG, TEXT, build_close, build_frame
from serving.websocket.test_frames import frame


class Wire:
    """A transport that records what the server does."""

    def __init__(self):
        self.sent = b""
        self.reading = True
        self.closed = self.aborted = False

    def write(self, data):
        """Add to what was sent; like uvloop's, it raises once the transport is closed."""
        if self.closed:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.sent += data

    def pause_reading(self):
        assert self.reading
        self.reading = False

    def resume_reading(self):
        assert not self.reading
        self.reading = True

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = self.aborted = True

    def is_closing(self):
        return self.closed


def run(scenario, **options):
    """Run ``scenario(connection, wire)``."""

    async def main():
        wire = Wire()
        opened = WebSocketConnection(wire, **{"max_message_bytes": 1000, "ping_s": None} | options)
        async with asyncio.timeout(60):
            return await scenario(opened, wire)

    return asyncio.run(main())


def at_once(message):
    return message


def text(message):
    return frame(0x81, message.encode())


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


def test_messages_are_taken_in_order_until_one_is_wanted():
    async def scenario(opened, wire):
        taken = []

        def take(message):
            taken.append(message)
            return message if message in {"c", b"f"} else None

        for part in (text("a") + text("b"), text("c") + text("d")[:3], text("d")[3:] + text("e")):
            opened.data_received(part)
        assert not wire.reading, "nobody waits"
        assert await opened.receive(take) == "c"
        assert taken == ["a", "b", "c"]
        waiting = asyncio.create_task(opened.receive(take))
        await turns()
        assert (taken[3:], wire.reading) == (["d", "e"], True)
        opened.data_received(frame(0x82, b"f"))
        opened.data_received(text("g"))
        assert taken[5:] == [b"f"], "the next one is wanted by a later call"
        assert await waiting == b"f"
        assert await opened.receive(at_once) == "g"

    run(scenario)


def test_a_client_is_not_read_faster_than_it_is_handled():
    async def scenario(opened, wire):
        opened.data_received(text("a"))
        assert not wire.reading
        assert await opened.receive(at_once) == "a"
        assert wire.reading
        opened.data_received(text("b") * 3)
        assert not wire.reading
        for _ in range(3):
            assert await opened.receive(at_once) == "b"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await opened.receive(at_once)
        assert wire.reading
        opened.data_received(text("c"))
        assert await opened.receive(at_once) == "c", "a cancelled wait loses nothing"

    run(scenario)


@pytest.mark.parametrize("small", [frame(0x82), frame(0x89), frame(0x02) + frame(0x80)])
def test_many_small_frames_leave_time_for_others(small):
    async def scenario(opened, wire):
        handled = 0

        def take(_):
            nonlocal handled
            handled += 1

        async with asyncio.TaskGroup() as group:
            task = group.create_task(opened.receive(take))
            await turns(1)
            opened.data_received(small * 1000)
            handled += wire.sent.count(b"\x8a")
            assert handled <= 64
            assert not wire.reading
            await turns(100)
            assert handled + wire.sent.count(b"\x8a") >= 1000
            assert wire.reading
            task.cancel()

    run(scenario)


def test_an_error_of_the_receiver_keeps_the_messages_after_it():
    def take(message):
        if message == "bad":
            raise LookupError
        return message

    async def scenario(opened, _):
        opened.data_received(text("bad") + text("good"))
        with pytest.raises(LookupError):
            await opened.receive(take)
        assert await opened.receive(take) == "good"

    run(scenario)


def test_what_arrived_before_the_connection_was_lost_is_handed_over():
    async def scenario(opened, wire):
        opened.data_received(text("last") * 200)
        wire.closed = True
        opened.connection_lost()
        seen = []
        with pytest.raises(Disconnected):
            await opened.receive(seen.append)
        assert seen == ["last"] * 200
        assert not opened.is_connected
        with pytest.raises(Disconnected):
            await opened.send("late")

    run(scenario)


@pytest.mark.parametrize("last", [b"", build_close(1000)], ids=["lost", "closed"])
def test_pings_of_a_client_that_has_gone_are_not_answered(last):
    """They are handled after the connection was lost, in several turns of the event loop."""

    async def scenario(opened, wire):
        task = asyncio.create_task(opened.receive(at_once))
        await turns(1)
        close = frame(0x88, last[2:]) if last else b""
        opened.data_received(frame(0x89, b"?") * 500 + close)
        sent = len(wire.sent)
        wire.closed = True
        opened.connection_lost()
        with pytest.raises(Disconnected):
            await task
        assert len(wire.sent) == sent

    run(scenario)


def test_a_ping_between_fragments_is_answered():
    async def scenario(opened, wire):
        opened.data_received(frame(0x01, b"one ") + frame(0x89, b"?") + frame(0x80, b"message"))
        assert await opened.receive(at_once) == "one message"
        assert wire.sent == build_frame(PONG, b"?")

    run(scenario)


def test_pings_of_a_client_that_reads_nothing_do_not_accumulate():
    async def scenario(opened, wire):
        task = asyncio.create_task(opened.receive(at_once))
        await turns(1)
        opened.pause_writing()
        for number in range(30):
            opened.data_received(frame(0x89, b"%d" % number))
        assert wire.sent == b""
        opened.resume_writing()
        assert wire.sent == build_frame(PONG, b"29")
        task.cancel()

    run(scenario)


def test_messages_wait_until_the_client_reads():
    async def scenario(opened, wire):
        opened.pause_writing()
        sending = [asyncio.create_task(opened.send(word)) for word in ("a", "b")]
        await turns()
        assert wire.sent == b""
        opened.resume_writing()
        await asyncio.gather(*sending)
        assert wire.sent == build_frame(TEXT, b"a") + build_frame(TEXT, b"b")
        opened.pause_writing()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await opened.send("c")
        waiting = asyncio.create_task(opened.send("d"))
        await turns()
        opened.connection_lost()
        with pytest.raises(Disconnected):
            await waiting

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"", build_close(1005)),
        (b"\x03\xe8bye", build_close(1000)),
        (b"\x0b\xb8", build_close(3000)),
        (b"\x03", build_close(1002, "close code that is not allowed")),
        (b"\x03\xed", build_close(1002, "close code that is not allowed")),
        (b"\x03\xe8\xff", build_close(1007, "close reason that is not UTF-8")),
    ],
)
def test_a_close_frame_is_answered(sent, reply):
    async def scenario(opened, wire):
        opened.data_received(text("a") + frame(0x88, sent) + text("b"))
        assert await opened.receive(at_once) == "a"
        with pytest.raises(Disconnected):
            await opened.receive(at_once)
        assert wire.sent == reply
        assert wire.closed == (reply[2:4] not in {b"\x03\xea", b"\x03\xef"})
        opened.connection_lost()

    run(scenario)


def test_a_client_that_closes_and_reads_nothing_is_disconnected(monkeypatch):
    monkeypatch.setattr(module, "_CLOSE_S", 0.01)

    async def scenario(opened, wire):
        opened.pause_writing()
        waiting = asyncio.create_task(opened.receive(at_once))
        await turns(1)
        opened.data_received(frame(0x88, b"\x03\xe8"))
        with pytest.raises(Disconnected):
            await waiting
        while not wire.aborted:  # the transport waits until its buffer has been read
            await asyncio.sleep(0.01)

    run(scenario)


@pytest.mark.parametrize(
    ("violation", "code"),
    [
        (build_frame(TEXT, b"unmasked"), 1002),
        (frame(0xC1, b"compressed"), 1002),
        (frame(0x09, b"a fragmented ping"), 1002),
        (frame(0x83), 1002),
        (frame(0x80, b"nothing to continue"), 1002),
        (frame(0x81, b"\xed\xa0\x80"), 1007),
        (frame(0x82, length=1001), 1009),
        (frame(0x82, length=1 << 63), 1009),
    ],
)
def test_a_violation_closes_with_its_code(violation, code, monkeypatch):
    monkeypatch.setattr(module, "_CLOSE_S", 0.01)

    async def scenario(opened, wire):
        waiting = asyncio.create_task(opened.receive(at_once))
        await turns(1)
        opened.data_received(violation)
        with pytest.raises(Disconnected):
            await waiting
        assert wire.sent[:1] == bytes((0x80 | CLOSE,))
        assert int.from_bytes(wire.sent[2:4], "big") == code
        sent = wire.sent
        opened.data_received(text("not read") + frame(0x89))
        assert (wire.sent, wire.reading, wire.closed) == (sent, True, False)
        while not wire.closed:  # the client does not respond
            await asyncio.sleep(0.01)

    run(scenario)


def test_after_closing_only_the_clients_close_frame_counts(monkeypatch):
    async def scenario(opened, wire):
        opened.data_received(text("before") * 100)
        await opened.close(1008, "enough")
        assert wire.sent == build_close(1008, "enough")
        opened.data_received(text("after") + frame(0x89) + frame(0x82, b"b")[:4])
        await turns()
        assert (wire.closed, wire.reading, opened.is_connected) == (False, True, False)
        opened.data_received(frame(0x82, b"b")[4:] + frame(0x88, b"\x03\xf0"))
        assert wire.closed
        assert wire.sent == build_close(1008, "enough")
        opened.connection_lost()
        with pytest.raises(Disconnected):
            await opened.receive(at_once)

    run(scenario)


def test_a_silent_client_gets_a_ping_and_is_disconnected_without_a_response():
    async def scenario(opened, wire):
        waiting = asyncio.create_task(opened.receive(lambda _: None))
        while not wire.sent:
            opened.data_received(text("active")) if opened._active else None
            await asyncio.sleep(0.005)
        assert wire.sent[0] == 0x80 | PING
        opened.data_received(frame(0x8A, wire.sent[2:]))
        while wire.sent.count(b"alive?") < 2:
            await asyncio.sleep(0.005)
        with pytest.raises(Disconnected):
            await waiting
        assert wire.sent.endswith(build_close(1011, "keepalive ping timeout"))
        opened.connection_lost()

    run(scenario, ping_s=0.02)


def test_the_limit_counts_the_message():
    async def scenario(opened, _):
        opened.data_received(frame(0x82, bytes(1000)))
        assert await opened.receive(at_once) == bytes(1000)
        waiting = asyncio.create_task(opened.receive(at_once))
        await turns(1)
        opened.data_received(frame(0x82, bytes(1000)))  # the short way
        assert await waiting == bytes(1000)

    run(scenario)
