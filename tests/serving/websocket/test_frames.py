"""Frames of WebSocket: the examples of RFC 6455, and the library ``websockets`` as the witness."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from emo_serving.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameParser,
    build_close,
    build_frame,
    parse_close,
    unmask,
    whole_message,
)

LIMIT = 70_000
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455, 5.7: a single-frame masked text message
PONG_HELLO = bytes.fromhex("8a8537fa213d7f9f4d5158")


def frame(first, payload=b"", mask=b"\x12\x34\x56\x78", length=None):
    """A frame of a client with any first byte; ``length`` is its announced length."""
    size = len(payload) if length is None else length
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + mask + unmask(payload, mask)


def parse(*parts, limit=LIMIT):
    """Return what a parser finds in parts that arrive after each other, and the close code."""
    parser, found = FrameParser(limit), []
    try:
        for part in parts:
            parser.feed(part)
            while (each := parser.next_frame()) is not None:
                found.append(each)
    except FrameError as error:
        return found, error.code
    return found, None


def test_the_examples_of_the_rfc():
    assert parse(HELLO) == ([(TEXT, "Hello")], None)
    assert parse(PONG_HELLO) == ([(PONG, b"Hello")], None)
    assert build_frame(TEXT, b"Hello").hex(" ") == "81 05 48 65 6c 6c 6f"
    assert build_frame(PING, b"Hello").hex(" ") == "89 05 48 65 6c 6c 6f"
    assert build_frame(BINARY, bytes(256))[:4].hex(" ") == "82 7e 01 00"
    assert build_frame(BINARY, bytes(65_536))[:10].hex(" ") == "82 7f 00 00 00 00 00 01 00 00"


def client():
    """An open connection of ``websockets`` on the client's side."""
    return ClientProtocol(parse_uri("ws://localhost/"), state=OPEN)


def sent_by(opened):
    return b"".join(opened.data_to_send())


MESSAGES = st.lists(st.text() | st.binary(max_size=300) | st.just(bytes(66_000)), max_size=4)


@settings(max_examples=50)
@given(MESSAGES, st.integers(1, 3), st.data())
def test_messages_of_the_library_arrive(messages, parts, data):
    opened, expected = client(), []
    for message in messages:
        body = message.encode() if isinstance(message, str) else message
        # A character may be divided between two fragments.
        cuts = sorted(data.draw(st.integers(0, len(body))) for _ in range(parts - 1))
        pieces = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
        for number, piece in enumerate(pieces):
            fin = number == parts - 1
            if number:
                opened.send_continuation(piece, fin=fin)
            elif isinstance(message, str):
                opened.send_text(piece, fin=fin)
            else:
                opened.send_binary(piece, fin=fin)
            if not fin:
                opened.send_ping(b"between")
                expected.append((PING, b"between"))
        expected.append((TEXT if isinstance(message, str) else BINARY, message))
    stream = sent_by(opened)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    found = parse(*(stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])))
    assert found == (expected, None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 66_000])
def test_the_library_reads_frames_of_all_lengths(size):
    opened = client()
    opened.receive_data(build_frame(BINARY, bytes(size)))
    assert opened.events_received() == [Frame(Opcode.BINARY, bytes(size))]
    whole = frame(0x82, bytes(size))
    assert parse(whole) == ([(BINARY, bytes(size))], None)
    assert parse(*(whole[at : at + 1] for at in range(len(whole)))) == parse(whole)
    assert whole_message(whole) == (bytes(size) if size < 65_536 else None)


def by_library(stream):
    """What ``websockets`` finds in a stream, and the code that it closes with."""
    server = ServerProtocol(state=OPEN, max_size=LIMIT)
    server.receive_data(stream)
    # A close frame between fragments: RFC 6455 allows it, the library does not.
    assume("incomplete fragmented" not in str(server.parser_exc))
    found, opcode, body = [], None, b""
    for event in server.events_received():
        if event.opcode >= CLOSE:
            found.append((int(event.opcode), bytes(event.data)))
            if event.opcode == CLOSE:
                break
            continue
        opcode = int(event.opcode) or opcode
        body += event.data
        if event.fin:
            try:
                found.append((opcode, body.decode() if opcode == TEXT else body))
            except UnicodeDecodeError:  # it leaves that to its user
                return found, 1007
            body = b""
    failed = isinstance(server.parser_exc, Exception) and server.close_sent
    return found, server.close_sent.code if failed else None


def by_us(stream):
    """The same by our parser, which ends at a close frame."""
    found, code = parse(stream)
    for number, (opcode, payload) in enumerate(found):
        if opcode == CLOSE:
            try:
                parse_close(payload)
            except FrameError as error:
                return found[:number], error.code
            return found[: number + 1], None
    return found, code


OPCODES = st.sampled_from([*range(16)] + [TEXT, BINARY, 0] * 6)
FIRST = st.builds(lambda opcode, fin: opcode | fin, OPCODES, st.sampled_from([0x80, 0x80, 0, 0x40]))
CODES = st.integers(990, 1020) | st.integers(2990, 5010)
CLOSES = st.builds(lambda code, text: frame(0x88, code.to_bytes(2, "big") + text), CODES,
                   st.sampled_from([b"", b"bye", b"\xff"]))  # fmt: skip
FRAMES = st.builds(frame, FIRST, st.binary(max_size=130) | st.text(max_size=9).map(str.encode))
UNMASKED = st.builds(build_frame, st.sampled_from([TEXT, PING]), st.binary(max_size=9))


@settings(max_examples=400)
@given(st.lists(st.one_of(FRAMES, FRAMES, FRAMES, CLOSES, UNMASKED), max_size=6))
@example([frame(0x01, b"\xce"), frame(0x89), frame(0x80, b"\xba")])
@example([frame(0x81, b"\xc3\x28")])
@example([frame(0x02, bytes(40_000)), frame(0x80, bytes(40_000))])
def test_violations_are_found_as_by_the_library(frames):
    stream = b"".join(frames)
    assert by_us(stream) == by_library(stream)


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_close_code(data):
    found, code = by_us(data)
    # The library examines the order of fragments only when the whole frame has arrived.
    assert (found, code) == by_library(data) or (code, by_library(data)) == (1002, (found, None))
    assert whole_message(data) is None or parse(data)[0] == [(data[0] & 0xF, whole_message(data))]


@pytest.mark.parametrize(
    "first", [0x01, 0x02, 0x03, 0x83, 0xC1, 0x91, 0x80, 0x00, 0x88, 0x89, 0x8A, 0x08]
)
def test_only_whole_messages_take_the_short_way(first):
    stream = frame(first, b"text")
    assert whole_message(stream) == ("text" if first == 0x81 else None)
    assert whole_message(stream + b"x") is None
    assert whole_message(stream[:-1]) is None
    assert whole_message(frame(0x81, b"\xff")) is None


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_arrive():
    for head in (frame(0x82, length=LIMIT + 1), frame(0x82, length=(1 << 63) - 1)):
        assert parse(head) == ([], 1009)
    assert parse(frame(0x02, bytes(LIMIT - 1)), frame(0x80, length=2)) == ([], 1009)
    found, code = parse(frame(0x02, bytes(LIMIT - 1)), frame(0x80, b"x"))
    assert ([(opcode, len(body)) for opcode, body in found], code) == ([(BINARY, LIMIT)], None)


def test_fragments_do_not_accumulate():
    parser = FrameParser(1000)
    parser.feed(frame(0x01))
    assert parser.next_frame() is None
    piece = frame(0x00) * 1000
    tracemalloc.start()
    for _ in range(20):
        parser.feed(piece)
        assert parser.next_frame() is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000
    parser.feed(frame(0x80, b"end"))
    assert parser.next_frame() == (TEXT, "end")


def test_close_frames():
    assert parse_close(b"") == (1005, "")
    assert build_close(1005) == build_frame(CLOSE, b"")
    opened = client()
    opened.receive_data(build_close(1008, "ñ" * 100))
    assert (opened.close_rcvd.code, opened.close_rcvd.reason) == (1008, "ñ" * 61)
