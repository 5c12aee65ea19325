"""Counters and histograms for Prometheus, fed by a recognizer's ``on_answer`` (extra [metrics])."""

from typing import Any

from emo_runtime.errors import MissingExtraError
from emo_runtime.result import Answer

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class PrometheusMetrics:
    """``EmotionRecognizer.open(on_answer=PrometheusMetrics())``.

    Metrics: ``emo_answers_total{task,label}``, ``emo_answer_seconds{task}``,
    ``emo_step_seconds{step}``, ``emo_sound_seconds_total``, ``emo_notes_total``. No text and no
    sound is kept. ``registry`` defaults to prometheus-client's own. Raises MissingExtraError.
    """

    def __init__(self, registry: Any = None) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415  (an extra)
        except ImportError:
            raise MissingExtraError(
                'metrics need prometheus-client: pip install "emo-runtime[metrics]"'
            ) from None
        kept_by: dict[str, Any] = {"registry": registry or prometheus.REGISTRY}
        self._answers = prometheus.Counter(
            "emo_answers_total", "Answers given.", ["task", "label"], **kept_by
        )
        self._seconds = prometheus.Histogram(
            "emo_answer_seconds", "Time to an answer.", ["task"], buckets=_BUCKETS, **kept_by
        )
        self._steps = prometheus.Histogram(
            "emo_step_seconds", "Time of a step.", ["step"], buckets=_BUCKETS, **kept_by
        )
        self._sound = prometheus.Counter(
            "emo_sound_seconds_total", "Seconds of sound heard.", **kept_by
        )
        self._notes = prometheus.Counter(
            "emo_notes_total", "Answers that carry a note about their input.", **kept_by
        )

    def __call__(self, answer: Answer) -> None:
        """Count one answer."""
        self._answers.labels(answer.task, answer.label).inc()
        self._sound.inc(answer.duration_s)
        self._notes.inc(bool(answer.notes))
        for name, milliseconds in answer.timings.by_step().items():
            if name == "total":
                self._seconds.labels(answer.task).observe(milliseconds / 1e3)
            elif milliseconds:
                self._steps.labels(name).observe(milliseconds / 1e3)
