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
# More parts than these (a network of 24 layers) are ranked in so many groups.
_SINGLE_PARTS = 80
_GROUPS = 32


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
    returned, which ``require`` refuses. In graphs of many products, the parts are groups of
    adjacent ones: ranking each alone would take hours.
    """
    names = [name for name in optimized.graphs if name != "fusion"]
    chosen, unrepaired, tried, scaled = {}, {}, {}, {}
    kept: dict[str, tuple[int, ...]] = {}
    word_tables = []
    for name in names:
        optimized, scaling = scale_outliers(optimized, evaluator, name, _tasks_of(name, evaluator))
        if scaling is not None:
            scaled[name] = scaling
        plain, best, repairs = _search(optimized, evaluator, gate, name)
        if repairs:
            tried[name] = repairs
        if best.keep:
            unrepaired[name] = plain.model
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


def _search(
    optimized: Optimized, evaluator: Evaluator, gate: Gate, name: str
) -> tuple[_Attempt, _Attempt, int]:
    """Return the plain int8 graph, the best one, and the number of repaired ones that were tried.

    The search ends with the first that meets the gate. Graphs can be large: only these two are
    kept in memory.
    """
    tasks = _tasks_of(name, evaluator)

    def attempt(keep: frozenset[str]) -> _Attempt:
        model = variant(optimized, name, "int8", keep)
        return _Attempt(keep, model, _judge(optimized, evaluator, name, model, tasks))

    if not gate.enforced:
        plain = _Attempt(frozenset(), variant(optimized, name, "int8"), [])
        return plain, plain, 0
    plain = best = attempt(frozenset())
    if not missed(plain.comparisons, gate) or unfit_rows(plain.comparisons, ""):
        return plain, plain, 0
    parts = optimized.repairable(name)
    keep: frozenset[str] = frozenset()
    repairs = 0
    for group in _worst_first(optimized, evaluator, name, tasks):
        if len(keep) >= _LARGEST_KEPT_SHARE * len(parts):
            break
        keep |= set(group)
        repaired = attempt(keep)
        repairs += 1
        best = max(best, repaired, key=lambda item: item.rank(gate))
        if not missed(repaired.comparisons, gate):
            break
    return plain, best, repairs


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
) -> list[tuple[str, ...]]:
    some = evaluator.subsample(
        max(1, len(evaluator.evaluation.rows) // _RANKING_ROWS),
        _RANKING_CLIPS if name == "speech" else None,
    )
    parts = optimized.repairable(name)

    def alone(group: tuple[str, ...]) -> float:
        others = frozenset(parts) - set(group)
        model = variant(optimized, name, "int8", others)
        return some.mean_change(some.ask({**optimized.graphs, name: model}), tasks)

    groups = group_parts(parts)
    errors = [alone(group) for group in groups]
    order = sorted(range(len(groups)), key=lambda number: (-errors[number], number))
    return [groups[number] for number in order]


def group_parts(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the parts one by one, or of many at most ``_GROUPS`` groups of adjacent ones."""
    size = 1 if len(parts) <= _SINGLE_PARTS else -(-len(parts) // _GROUPS)
    return [tuple(parts[start : start + size]) for start in range(0, len(parts), size)]
