"""Wrong arguments of any type end in a typed error with a short message that echoes nothing."""

import asyncio
import base64
import contextlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emo_runtime import (
    ArgumentError,
    EmoError,
    EmotionRecognizer,
    Speaker,
    Utterance,
    read_transcript,
)

SECRET = "secreto-que-nadie-debe-ver "
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(
        [
            object(),
            [],
            {},
            set(),
            (),
            [1, "a"],
            {"a": 1},
            (1, 2, 3),
            ("8000", 8000),
            (8000, b"x"),
            range(3),
            1j,
            int,
            np.zeros(3),
            np.array(["a"]),
            np.array(None),
            [[1], [1, 2]],
            SECRET * 100,
            SECRET.encode() * 100,
            base64.b64encode(bytes(5000)).decode(),
            "https://example.com/a.wav",
            asyncio.sleep,
            Utterance(SECRET * 100, 5),
        ]
    ),
)


@pytest.fixture(scope="module")
def recognizer(tiny_bundle):
    return EmotionRecognizer.open(tiny_bundle(present_input=True), threads=1)


@contextlib.contextmanager
def only_typed_errors(*, takes_a_path=False):
    try:
        yield
    except EmoError as error:
        message = str(error)
        assert 0 < len(message) <= 500
        assert takes_a_path or SECRET.strip() not in message


def run(coroutine):
    return asyncio.run(coroutine)


CALLS = {
    "recognize text": lambda r, a, b: r.recognize(a, task=b),
    "recognize audio": lambda r, a, b: r.recognize(audio=a, speaker=b),
    "recognize both": lambda r, a, b: r.recognize(a, b),
    "arecognize": lambda r, a, b: run(r.arecognize(a, b)),
    "recognize_each": lambda r, a, b: list(r.recognize_each(a)),
    "recognize_batch": lambda r, a, b: r.recognize_batch([a, b]),
    "utterances": lambda r, a, b: r.recognize_batch(
        [Utterance(a, b), Utterance("hola", speaker=b)]
    ),
    "timeline": lambda r, a, b: list(r.timeline(a, b)),
    "timeline cues": lambda r, a, b: list(r.timeline((np.zeros(8000), 8000), [a, b])),
    "timeline fields": lambda r, a, b: list(
        r.timeline((np.zeros(8000), 8000), [{"start_s": a, "end_s": b, "text": a}])
    ),
    "precisions": lambda r, a, b: r.precisions(a),
    "stream rate": lambda r, a, b: r.stream(sample_rate=a, encoding=b),
    "stream channels": lambda r, a, b: r.stream(sample_rate=8000, channels=a, task=b),
    "stream limits": lambda r, a, b: r.stream(sample_rate=8000, max_duration_s=a, window_s=b),
    "stream turns": lambda r, a, b: r.stream(sample_rate=8000, prefix_s=a, partial_interval_s=b),
    "stream speaker": lambda r, a, b: r.stream(sample_rate=8000, speaker=a),
    "feed": lambda r, a, b: r.stream(sample_rate=8000).feed(a),
    "afeed": lambda r, a, b: run(r.stream(sample_rate=8000).afeed(a)),
    "set_text": lambda r, a, b: r.stream(sample_rate=8000).set_text(a),
    "open bundle": lambda r, a, b: EmotionRecognizer.open(a, public_key=b),
    "read_transcript": lambda r, a, b: read_transcript(a, b),
    "read_transcript options": lambda r, a, b: read_transcript("a.vtt", encoding=a, markup=b),
    "load a profile": lambda r, a, b: Speaker.load(a),
    "add to a profile": lambda r, a, b: Speaker(3, "a").add(a),
    "turns": lambda r, a, b: _turns(r.stream(sample_rate=8000, prefix_s=1.0), a, b),
    "apartial": lambda r, a, b: run(_ask(r.stream(sample_rate=8000), a)),
}


def _turns(stream, transcript, keep_open):
    stream.begin()
    stream.set_text(transcript)
    stream.partial()
    stream.finish(keep_open=keep_open)
    stream.reset()


async def _ask(stream, transcript):
    stream.set_text(transcript)
    await stream.apartial()
    await stream.afinish()


# A string is a path here, and messages name paths.
PATHS = {
    *("recognize audio", "recognize both", "arecognize", "utterances", "timeline"),
    *("open bundle", "read_transcript", "load a profile"),
}
OPTIONS = [
    *("self_test", "warm", "spin", "huge_pages"),
    *("providers", "fallback", "threads", "mode", "variant", "tasks", "max_duration_s"),
    *("max_waiting", "min_confidence", "on_answer", "on_error"),
]


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=60)
@given(WRONG, WRONG)
def test_every_public_function(recognizer, name, first, second):
    with only_typed_errors(takes_a_path=name in PATHS):
        CALLS[name](recognizer, first, second)


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=30)
@example(np.array(None))
@given(WRONG)
def test_every_option_of_open(recognizer, name, value):
    with only_typed_errors():
        path = recognizer.describe()["bundle"]["path"]
        EmotionRecognizer.open(path, **{"self_test": False, name: value}).close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.recognize_batch(["hola"]), r"of type str. Give Utterance\(text="),
        (lambda r: r.recognize_each("hola"), "Give an iterable of Utterance"),
        (lambda r: r.stream(sample_rate="8000"), "sample_rate='8000': give a whole number"),
        (lambda r: r.stream(sample_rate=8000, window_s="1"), "window_s='1': give a number above 0"),
        (lambda r: EmotionRecognizer.open(5), "bundle is of type int. Give a path"),
        (lambda r: EmotionRecognizer.open(max_waiting=-1), "max_waiting=-1: give a whole number"),
        (lambda r: EmotionRecognizer.open(min_confidence=2), "min_confidence=2: give a number"),
        (lambda r: EmotionRecognizer.open(on_answer=5), "on_answer is of type int"),
        (lambda r: EmotionRecognizer.open(tasks=5), "tasks=5: give names of tasks"),
        (lambda r: EmotionRecognizer.open(providers=5), "providers=5: give a name"),
        (lambda r: EmotionRecognizer.open(variant="int4"), "variant='int4': give one of int8"),
    ],
)
def test_messages(recognizer, call, message):
    with pytest.raises(ArgumentError, match=message):
        call(recognizer)


def test_long_messages_are_cut():
    error = EmoError("a" * 1_000 + "the end")
    assert len(str(error)) <= 500
    assert str(error).endswith("the end")
