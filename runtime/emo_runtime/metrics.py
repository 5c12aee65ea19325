"""Counters and histograms for Prometheus (extra [metrics])."""

import copy
from collections.abc import Sequence
from typing import Any, Self

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

    ``registry`` defaults to the global registry of prometheus-client. ``labels`` are names of
    further labels, whose values ``labelled()`` sets. Raises MissingExtraError.

    Examples:
        >>> metrics = PrometheusMetrics()  # doctest: +SKIP
        >>> EmotionRecognizer.open(  # doctest: +SKIP
        ...     on_answer=metrics, on_error=metrics.count_error
        ... )
    """

    def __init__(self, registry: Any = None, labels: Sequence[str] = ()) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415  (an extra)
        except ImportError:
            raise MissingExtraError(
                'metrics need prometheus-client: pip install "emo-runtime[metrics]"'
            ) from None
        options: dict[str, Any] = {"registry": registry or prometheus.REGISTRY}
        counter, histogram = prometheus.Counter, prometheus.Histogram

        def metric(kind: Any, name: str, description: str, *own: str) -> Any:
            return kind(name, description, [*labels, *own], **options)

        self._values: tuple[str, ...] = ("",) * len(labels)
        self._answers = metric(counter, "emo_answers_total", "Answers.", "task", "label")
        self._uncertain = metric(
            counter, "emo_uncertain_total", "Answers below the minimum confidence.", "task"
        )
        self._errors = metric(counter, "emo_errors_total", "Errors.", "kind")
        self._notes = metric(counter, "emo_notes_total", "Notes on the input.", "code")
        self._sound = metric(counter, "emo_sound_seconds_total", "Seconds of sound.")
        options["buckets"] = _BUCKETS
        self._seconds = metric(histogram, "emo_answer_seconds", "Time to an answer.", "task")
        self._steps = metric(histogram, "emo_step_seconds", "Time of a step.", "step")

    def labelled(self, *values: str) -> Self:
        """Return the same metrics with these values of the further labels."""
        other = copy.copy(self)
        other._values = values
        other._with(other._sound)  # creates the series with the value 0
        return other

    def __call__(self, answer: Answer) -> None:
        """Count one answer."""
        self._with(self._answers, answer.task, answer.label).inc()
        self._with(self._sound).inc(answer.duration_s)
        self._with(self._uncertain, answer.task).inc(answer.uncertain)
        for note in answer.notes:
            self._with(self._notes, note.code).inc()
        for name, milliseconds in answer.timings.by_step().items():
            if name == "total":
                self._with(self._seconds, answer.task).observe(milliseconds / 1e3)
            elif milliseconds:
                self._with(self._steps, name).observe(milliseconds / 1e3)

    def count_error(self, error: EmoError) -> None:
        """Count one error."""
        self._with(self._errors, type(error).__name__).inc()

    def _with(self, metric: Any, *own: str) -> Any:
        values = (*self._values, *own)
        return metric.labels(*values) if values else metric
