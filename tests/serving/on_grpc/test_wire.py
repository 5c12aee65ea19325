"""Messages are decoded in a bounded time: what is accepted, and what is refused."""

import time

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from emo_serving.errors import RequestError
from emo_serving.on_grpc.messages import TYPES
from emo_serving.on_grpc.wire import decode_message

REQUEST = TYPES["ModelInferRequest"]
MIB = 1 << 20


def length_delimited(number, content):
    head = bytearray([number << 3 | 2])
    size = len(content)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + content


@given(st.lists(st.binary(max_size=40), max_size=64), st.text(max_size=20))
def test_whole_messages_are_decoded(elements, name):
    request = REQUEST(
        model_name=name.encode("utf-8", "ignore").decode(), raw_input_contents=elements
    )
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(elements)])
    tensor.contents.bytes_contents.extend(elements)
    request.parameters["x"].double_param = 0.5
    assert decode_message(REQUEST, request.SerializeToString()) == request


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_as_protobuf_does_or_refused(data):
    try:
        expected = REQUEST.FromString(data)
    except (DecodeError, ValueError):
        with pytest.raises(RequestError):
            decode_message(REQUEST, data)
        return
    try:
        assert decode_message(REQUEST, data) == expected
    except RequestError:
        return  # groups, which protobuf skips


WORST = {
    "empty submessages": length_delimited(5, b"") * (8 * MIB),
    "empty elements": length_delimited(7, b"") * (8 * MIB),
    "unknown fields": b"\x78\x01" * (8 * MIB),
    "packed numbers": length_delimited(5, length_delimited(3, b"\x01" * (16 * MIB - 12))),
    "elements of a tensor": length_delimited(5, length_delimited(5, b"\x42\x00" * (8 * MIB - 6))),
    "one element": length_delimited(7, b"a" * (16 * MIB)),
    "a name that is not UTF-8": length_delimited(1, b"a" * (16 * MIB) + b"\xff"),
    "a long varint": b"\x08" + b"\xff" * (16 * MIB),
}


@pytest.mark.parametrize("name", WORST)
def test_the_worst_messages_of_the_maximum_size_are_quick(name):
    begun = time.process_time()
    try:
        decode_message(REQUEST, WORST[name])
    except RequestError:
        assert name != "one element"
    else:
        assert name == "one element"
    # protobuf alone takes seconds for the first ones. Four times the 50 ms of a slow machine.
    assert time.process_time() - begun < 0.2


@pytest.mark.parametrize("key", [b"\x02", b"\xaa\x80\x80\x80\x10", b"\xaa\x80\x80\x80\x80\x01"])
def test_field_numbers_that_protobuf_does_not_have_are_refused(key):
    with pytest.raises(RequestError):
        decode_message(REQUEST, key + b"\x00")


def test_groups_and_truncated_fields_are_refused():
    for data in (b"\x2b\x2c", b"\x0a\x05ab", b"\x0a", b"\x09\x00", b"\x0a\xff\xff\xff\xff\x7f"):
        with pytest.raises(RequestError):
            decode_message(REQUEST, data)
