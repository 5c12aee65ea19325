"""Statistics of inferences, as Triton's extension of the Open Inference Protocol has them."""

import time
from collections.abc import Sequence

from msgspec import Struct, field

from emo_runtime import Answer, EmoError

_NS = 1_000_000_000


class Duration(Struct):
    """Number of events, and their time in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count an event."""
        self.count += 1
        self.ns += int(seconds * _NS)


class InferenceStatistics(Struct):
    """Times of requests: in all, waiting, and computing."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)


class ModelStatistics(Struct):
    """Statistics of a model since the start of the process. ``last_inference`` is in ms."""

    name: str
    version: str
    last_inference: int = 0
    inference_count: int = 0
    execution_count: int = 0
    inference_stats: InferenceStatistics = field(default_factory=InferenceStatistics)

    def add(self, found: Sequence[Answer | EmoError], seconds: float) -> None:
        """Count a request with these answers; it failed if one of them is an error."""
        answers = [answer for answer in found if isinstance(answer, Answer)]
        self.last_inference = int(time.time() * 1e3)
        if len(answers) < len(found):
            self.inference_stats.fail.add(seconds)
            return
        self.inference_count += len(answers)
        self.execution_count += len(answers)  # rows run alone
        computed = sum(answer.timings.total_ms for answer in answers) / 1e3
        self.inference_stats.success.add(seconds)
        self.inference_stats.queue.add(max(0.0, seconds - computed))
        self.inference_stats.compute_infer.add(min(seconds, computed))


class StatisticsResponse(Struct):
    """Statistics of the models."""

    model_stats: list[ModelStatistics]
