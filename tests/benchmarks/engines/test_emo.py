"""The engine under measurement answers as the library does."""

import pytest

from emo_bench.engines.emo import EmoEngine
from emo_bench.workload import Sample
from emo_runtime import EmotionRecognizer
from helpers.corpora import CLIPS

TEXT = "¡Qué alegría verte!"
CLIP = (CLIPS / "queja.flac").read_bytes()


@pytest.fixture
def bundle(tiny_bundle):
    return str(tiny_bundle(present_input=True))


@pytest.fixture
def engine(bundle):
    opened = EmoEngine(bundle, threads=1)
    yield opened
    opened.close()


@pytest.mark.parametrize(("text", "audio"), [(TEXT, None), (TEXT, CLIP), ("", CLIP)])
def test_an_answer_is_the_recognizers_with_the_time_of_each_step(engine, bundle, text, audio):
    outcome = engine.answer(Sample(text, audio))
    with EmotionRecognizer.open(bundle, threads=1) as recognizer:
        expected = recognizer.recognize(text or None, audio)
    assert (outcome.label, outcome.scores) == (expected.label, expected.scores)
    assert outcome.tokens == expected.tokens
    assert set(outcome.phases) == set(expected.timings.by_step())
    assert all(value >= 0 for value in outcome.phases.values())


def test_a_live_utterance_has_the_rate_of_the_call(engine, bundle):
    stream = engine.stream(8_000)
    stream.feed(bytes(16_000))
    assert stream.duration_s == 1.0


def test_the_description_has_the_size_of_the_files(engine, bundle):
    found = engine.describe()
    manifest = EmotionRecognizer.open(bundle).manifest
    assert found["model_bytes"] == sum(file.bytes for file in manifest.files()) > 0
    assert found["threads"]["count"] == 1


@pytest.mark.parametrize(("serving", "concurrency"), [(False, 1), (True, 2)])
def test_a_serving_engine_answers_on_every_thread(bundle, serving, concurrency):
    engine = EmoEngine(bundle, threads=2, serving=serving)
    assert engine.concurrency == concurrency
    engine.close()
