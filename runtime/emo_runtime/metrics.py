"""Counters and histograms for Prometheus (extra [metrics])."""

from typing import Any

from emo_runtime.errors import EmoError, MissingExtraError
from emo_runtime.result import Answer

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class PrometheusMetrics:
    """Metrics of a recognizer. Neither text nor sound is kept.

    - ``emo_answers_total{task,label}``: answers.
    - ``emo_uncertain_total{task}``: answers below ``min_confidence``.
    - ``emo_errors_total{kind}``: errors by their class; rejected calls are ``OverloadedError``.
    - ``emo_notes_total{code}``: notes on the input.
    - ``emo_answer_seconds{task}``: time to an answer.
    - ``emo_step_seconds{step}``: time of a step.
    - ``emo_sound_seconds_total``: seconds of sound.

    ``registry`` defaults to the global registry of prometheus-client. Raises MissingExtraError.

    Examples:
        >>> metrics = PrometheusMetrics()  # doctest: +SKIP
        >>> EmotionRecognizer.open(  # doctest: +SKIP
        ...     on_answer=metrics, on_error=metrics.count_error
        ... )
    """

    def __init__(self, registry: Any = None) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415  (an extra)
        except ImportError:
            raise MissingExtraError(
                'metrics need prometheus-client: pip install "emo-runtime[metrics]"'
            ) from None
        options: dict[str, Any] = {"registry": registry or prometheus.REGISTRY}
        counter, histogram = prometheus.Counter, prometheus.Histogram
        self._answers = counter("emo_answers_total", "Answers.", ["task", "label"], **options)
        self._uncertain = counter(
            "emo_uncertain_total", "Answers below the minimum confidence.", ["task"], **options
        )
        self._errors = counter("emo_errors_total", "Errors.", ["kind"], **options)
        self._notes = counter("emo_notes_total", "Notes on the input.", ["code"], **options)
        self._sound = counter("emo_sound_seconds_total", "Seconds of sound.", **options)
        options["buckets"] = _BUCKETS
        self._seconds = histogram("emo_answer_seconds", "Time to an answer.", ["task"], **options)
        self._steps = histogram("emo_step_seconds", "Time of a step.", ["step"], **options)

    def __call__(self, answer: Answer) -> None:
        """Count one answer."""
        self._answers.labels(answer.task, answer.label).inc()
        self._sound.inc(answer.duration_s)
        self._uncertain.labels(answer.task).inc(answer.uncertain)
        for note in answer.notes:
            self._notes.labels(note.code).inc()
        for name, milliseconds in answer.timings.by_step().items():
            if name == "total":
                self._seconds.labels(answer.task).observe(milliseconds / 1e3)
            elif milliseconds:
                self._steps.labels(name).observe(milliseconds / 1e3)

    def count_error(self, error: EmoError) -> None:
        """Count one error."""
        self._errors.labels(type(error).__name__).inc()
