"""Mixed precision: choose the matrix products that stay in float32 to meet the gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from emo_export.evaluation.compare import Comparison
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.gate import missed, unfit_rows
from emo_export.options import Gate
from emo_export.quantization.embedding import WORD_TABLE
from emo_export.quantization.outliers import Scaling, scale_outliers
from emo_export.quantization.variants import Optimized, variant
from emo_runtime.bundle.manifest import TaskName

# Largest share of products in float32 that still counts as an int8 graph.
_LARGEST_KEPT_SHARE = 0.5
_RANKING_ROWS = 64
_RANKING_CLIPS = 8  # a speech graph is run once for each product


@dataclass(frozen=True)
class Int8:
    """The chosen int8 graphs, and the parts that stay in float32.

    Attributes:
        graphs: graphs by name.
        unrepaired: graphs that missed the gate, to measure the cost of their repair.
        kept: numbers of the matrix products that stay in float32, by graph.
        word_tables: graphs whose word table stays in float32.
        products: number of matrix products, by graph.
        tried: number of attempts of the repair, by graph.
        scaled: graphs with factors for the channels of activations.
    """

    graphs: Mapping[str, onnx.ModelProto]
    unrepaired: Mapping[str, onnx.ModelProto] = field(default_factory=dict)
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    word_tables: tuple[str, ...] = ()
    products: Mapping[str, int] = field(default_factory=dict)
    tried: Mapping[str, int] = field(default_factory=dict)
    scaled: Mapping[str, Scaling] = field(default_factory=dict)

    def describe(self) -> str:
        """Return a sentence about the repair; empty without one."""
        return "".join(
            f"The repair of the graph {name!r} tried {count} graphs; its best keeps "
            f"{len(self.kept[name])} of {self.products[name]} matrix products"
            f"{' and the word table' if name in self.word_tables else ''} in float32. "
            for name, count in self.tried.items()
        )


@dataclass(frozen=True)
class _Attempt:
    keep: frozenset[str]
    model: onnx.ModelProto
    comparisons: list[Comparison]

    def rank(self, gate: Gate) -> tuple[float, ...]:
        """Return a sort key (best last): fewest missed limits, agreement, smallest change."""
        return (
            -len(missed(self.comparisons, gate)),
            min(item.agreement for item in self.comparisons),
            -max(item.mean_probability_difference for item in self.comparisons),
        )


def choose_int8(optimized: Optimized, evaluator: Evaluator, gate: Gate) -> Int8:
    """Return int8 graphs, with the worst parts left in float32 if the gate is not met.

    Large channels of activations are scaled first, where that reduces the loss.
    The parts (matrix products, the word table) are ranked by the error of quantizing each alone:
    the mean change of the probabilities over some rows. The worst are kept in float32 first, until
    the gate is met or half of the parts are kept. If the gate is never met, the best attempt is
    returned, which ``require`` refuses.
    """
    names = [name for name in optimized.graphs if name != "fusion"]
    chosen, unrepaired, tried, scaled = {}, {}, {}, {}
    kept: dict[str, tuple[int, ...]] = {}
    word_tables = []
    for name in names:
        optimized, scaling = scale_outliers(optimized, evaluator, name, _tasks_of(name, evaluator))
        if scaling is not None:
            scaled[name] = scaling
        attempts = _attempts(optimized, evaluator, gate, name)
        best = attempts[-1]
        if len(attempts) > 1:
            best = max(attempts, key=lambda attempt: attempt.rank(gate))
            tried[name] = len(attempts) - 1
        if best.keep:
            unrepaired[name] = attempts[0].model
        if WORD_TABLE in best.keep:
            word_tables.append(name)
        products = optimized.products(name)
        kept[name] = tuple(sorted(products.index(part) for part in best.keep - {WORD_TABLE}))
        chosen[name] = best.model
    return Int8(
        chosen,
        unrepaired,
        kept,
        tuple(word_tables),
        {name: len(optimized.products(name)) for name in names},
        tried,
        scaled,
    )


def _attempts(optimized: Optimized, evaluator: Evaluator, gate: Gate, name: str) -> list[_Attempt]:
    """The plain int8 graph, then repaired ones up to the first that meets the gate."""
    tasks = _tasks_of(name, evaluator)

    def attempt(keep: frozenset[str]) -> _Attempt:
        model = variant(optimized, name, "int8", keep)
        return _Attempt(keep, model, _judge(optimized, evaluator, name, model, tasks))

    if not gate.enforced:
        return [_Attempt(frozenset(), variant(optimized, name, "int8"), [])]
    attempts = [attempt(frozenset())]
    if not missed(attempts[0].comparisons, gate) or unfit_rows(attempts[0].comparisons, ""):
        return attempts
    parts = optimized.repairable(name)
    keep: frozenset[str] = frozenset()
    for part in _worst_first(optimized, evaluator, name, tasks):
        if len(keep) >= _LARGEST_KEPT_SHARE * len(parts):
            break
        keep |= {part}
        attempts.append(attempt(keep))
        if not missed(attempts[-1].comparisons, gate):
            break
    return attempts


def _tasks_of(name: str, evaluator: Evaluator) -> tuple[TaskName, ...]:
    """Return the tasks that depend on a graph."""
    checkpoints = evaluator.checkpoints
    made: dict[str, tuple[TaskName, ...]] = {
        "text": ("text", "fusion") if checkpoints.shared else ("text",),
        "encoder": ("fusion",),
        "speech": ("fusion", "audio"),
    }
    return tuple(task for task in made[name] if task in evaluator.tasks)


def _judge(
    optimized: Optimized,
    evaluator: Evaluator,
    name: str,
    model: onnx.ModelProto,
    tasks: Sequence[TaskName],
) -> list[Comparison]:
    """Compare the tasks of one changed graph; all other graphs are exact."""
    found = evaluator.ask({**optimized.graphs, name: model})
    return [item for item in evaluator.compare("int8", found) if item.task in tasks]


def _worst_first(
    optimized: Optimized, evaluator: Evaluator, name: str, tasks: Sequence[TaskName]
) -> list[str]:
    some = evaluator.subsample(
        max(1, len(evaluator.evaluation.rows) // _RANKING_ROWS),
        _RANKING_CLIPS if name == "speech" else None,
    )
    products = optimized.repairable(name)

    def alone(product: str) -> float:
        others = frozenset(products) - {product}
        model = variant(optimized, name, "int8", others)
        return some.mean_change(some.ask({**optimized.graphs, name: model}), tasks)

    errors = {product: alone(product) for product in products}
    return sorted(products, key=lambda product: (-errors[product], products.index(product)))
