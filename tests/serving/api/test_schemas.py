"""Decoding JSON bodies: bounded, and without quoting them."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from emo_serving.api.schemas import bounded_list, decode_batch, decode_utterance
from emo_serving.errors import RequestError, TooLargeError

MIB = 1 << 20


def test_a_batch_keeps_the_order_and_a_malformed_row_is_its_error():
    rows = [{"text": "uno"}, {"text": 7}, {"audio": "%"}, {"sound": ""}, 5, {"text": "dos"}]
    decoded = decode_batch(json.dumps({"utterances": rows}).encode(), 8).rows
    assert [isinstance(row, RequestError) for row in decoded] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    assert (decoded[0].text, decoded[-1].text) == ("uno", "dos")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"utterances": 7}', b'{"x": []}'])
def test_a_malformed_batch_is_refused(body):
    with pytest.raises(RequestError):
        decode_batch(body, 8)


@given(st.lists(st.integers() | st.text() | st.lists(st.none(), max_size=3), max_size=12))
def test_a_list_is_split_into_its_elements_or_refused(values):
    raw = Raw(json.dumps(values).encode())
    if len(values) > 8:
        with pytest.raises(TooLargeError):
            bounded_list(raw, 8, "rows")
    else:
        assert [json.loads(bytes(element)) for element in bounded_list(raw, 8, "rows")] == values


def test_errors_do_not_quote_the_body():
    for body in (b'{"secreto": 1}', b'{"text": "secreto}', b'{"text": ["secreto"]}', b"secreto"):
        with pytest.raises(RequestError) as caught:
            decode_utterance(body)
        assert "secreto" not in str(caught.value)


WORST = {
    "base64": b'{"audio":"' + b"A" * (8 * MIB - 100) + b'"}',
    "escapes": b'{"text":"' + b"\\n" * (4 * MIB) + b'"}',
    "unicode escapes": b'{"text":"' + b"\\u00e9" * (8 * MIB // 6) + b'"}',
    "the same key": b"{" + b'"text":"",' * (8 * MIB // 10) + b'"text":""}',
    "nested": b'{"text":' + b"[" * (8 * MIB),
    "spaces": b'{"text":' + b" " * (8 * MIB) + b'"a"}',
    "rows": b'{"utterances":[' + b"1," * (4 * MIB) + b"1]}",
    "empty rows": b'{"utterances":[' + b"{}," * (8 * MIB // 3) + b"1]}",
}


@pytest.mark.parametrize("body", WORST.values(), ids=WORST)
def test_the_worst_bodies_of_the_maximum_size_take_little_time(body):
    """About 30 ms on an idle machine; 0.5 s allows for a slow and busy one."""

    def parse():
        for decode in (decode_utterance, lambda given: decode_batch(given, 64)):
            try:
                decode(body)
            except (RequestError, TooLargeError):
                continue

    def seconds():
        begun = time.process_time()
        parse()
        return time.process_time() - begun

    assert min(seconds() for _ in range(3)) < 0.5
