"""Prometheus metrics against prometheus-client's own parser."""

import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from emo_runtime import (
    ClosedError,
    EmotionRecognizer,
    MissingExtraError,
    TaskError,
    TextError,
    Utterance,
)
from emo_runtime.metrics import PrometheusMetrics
from helpers.sounds import speechlike


def samples(registry):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_answers_are_counted(tiny_bundle):
    registry = CollectorRegistry()
    recognizer = EmotionRecognizer.open(
        tiny_bundle(), on_answer=PrometheusMetrics(registry), self_test=False
    )
    first = recognizer.recognize("hola " * 99)
    second = recognizer.recognize("no puedo más", (speechlike(1.5, 22_050), 22_050))
    found = samples(registry)
    for answer in (first, second):
        key = ("emo_answers_total", ("label", answer.label), ("task", answer.task))
        assert found[key] == 1
        assert found["emo_answer_seconds_count", ("task", answer.task)] == 1
        assert found["emo_answer_seconds_sum", ("task", answer.task)] == pytest.approx(
            answer.timings.total_ms / 1e3
        )
    assert found["emo_step_seconds_count", ("step", "text")] == 2
    assert found["emo_step_seconds_count", ("step", "front_end")] == 1
    assert found["emo_sound_seconds_total",] == 1.5
    assert found["emo_notes_total", ("code", "text_truncated")] == 1


def test_errors_and_uncertain_answers_are_counted(tiny_bundle):
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    recognizer = EmotionRecognizer.open(
        tiny_bundle(), on_answer=metrics, on_error=metrics.count_error, min_confidence=1
    )
    assert recognizer.recognize("hola").uncertain
    with pytest.raises(TextError):
        recognizer.recognize("")
    list(recognizer.recognize_each([Utterance(""), Utterance("hola")]))
    with pytest.raises(TaskError):
        recognizer.stream(sample_rate=8_000).finish()
    found = samples(registry)
    assert found["emo_uncertain_total", ("task", "text")] == 2
    assert found["emo_errors_total", ("kind", "TextError")] == 2
    assert found["emo_errors_total", ("kind", "TaskError")] == 1


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r'pip install "emo-runtime\[metrics\]"'):
        PrometheusMetrics()


def test_wrong_calls_of_a_stream_are_counted(tiny_bundle):
    errors = []
    recognizer = EmotionRecognizer.open(tiny_bundle(), on_error=errors.append)
    stream = recognizer.stream(sample_rate=8_000, prefix_s=0.5)
    with pytest.raises(TextError):
        stream.set_text(7)
    stream.set_text("hola")
    stream.finish()
    with pytest.raises(ClosedError):
        stream.begin()
    assert [type(error) for error in errors] == [TextError, ClosedError]
