"""Mixed precision: the matrix products that int8 leaves in float32 to meet the gate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from emo_export.evaluation.compare import Comparison
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.gate import missed
from emo_export.evaluation.reference import Answers, softmax
from emo_export.options import Gate
from emo_export.quantization.variants import Optimized, variant
from emo_runtime.bundle.manifest import TaskName

# A graph with more of its products in float32 than this is no int8 graph any more.
_LARGEST_KEPT_SHARE = 0.5
_RANKING_ROWS = 64


@dataclass(frozen=True)
class Int8:
    """The int8 text graphs that were chosen, and which matrix products stay in float32.

    ``unrepaired`` are those that missed the gate, to tell what its repair costs.
    """

    graphs: Mapping[str, onnx.ModelProto]
    unrepaired: Mapping[str, onnx.ModelProto] = field(default_factory=dict)
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    products: Mapping[str, int] = field(default_factory=dict)


def choose_int8(optimized: Optimized, evaluator: Evaluator, gate: Gate) -> Int8:
    """int8 text graphs; where the gate is missed, with the worst products left in float32.

    The products are ranked by the error that each one's quantization alone makes (the mean change
    of the probabilities over some rows); the worst is kept first, until the gate is met or half of
    the products are kept. ``require`` then says whether that was enough.
    """
    chosen = {}
    unrepaired = {}
    kept: dict[str, tuple[int, ...]] = {}
    names = [name for name in optimized.graphs if name != "fusion"]
    for name in names:
        products = optimized.products(name)
        tasks = _tasks_of(name, evaluator)
        keep: list[str] = []
        chosen[name] = variant(optimized, name, "int8")
        if gate.enforced and missed(_judge(optimized, evaluator, name, chosen[name], tasks), gate):
            for product in _worst_first(optimized, evaluator, name, tasks):
                if len(keep) >= _LARGEST_KEPT_SHARE * len(products):
                    break
                keep.append(product)
                chosen[name] = variant(optimized, name, "int8", frozenset(keep))
                if not missed(_judge(optimized, evaluator, name, chosen[name], tasks), gate):
                    break
        if keep:
            unrepaired[name] = variant(optimized, name, "int8")
        kept[name] = tuple(sorted(products.index(product) for product in keep))
    return Int8(chosen, unrepaired, kept, {name: len(optimized.products(name)) for name in names})


def _tasks_of(name: str, evaluator: Evaluator) -> tuple[TaskName, ...]:
    """The tasks whose answers a graph makes."""
    if evaluator.checkpoints.fusion is None:
        return ("text",)
    if evaluator.checkpoints.shared:
        return ("text", "fusion")
    return ("text",) if name == "text" else ("fusion",)


def _judge(
    optimized: Optimized,
    evaluator: Evaluator,
    name: str,
    model: onnx.ModelProto,
    tasks: Sequence[TaskName],
) -> list[Comparison]:
    """One graph changed, the others exact: the comparisons of the tasks that it makes."""
    found = evaluator.ask({**optimized.graphs, name: model})
    return [item for item in evaluator.compare("int8", found) if item.task in tasks]


def _worst_first(
    optimized: Optimized, evaluator: Evaluator, name: str, tasks: Sequence[TaskName]
) -> list[str]:
    some = evaluator.subsample(max(1, len(evaluator.evaluation.rows) // _RANKING_ROWS))
    products = optimized.products(name)
    error = _error_of(some, tasks)

    def alone(product: str) -> float:
        others = frozenset(products) - {product}
        model = variant(optimized, name, "int8", others)
        return error(some.ask({**optimized.graphs, name: model}))

    errors = {product: alone(product) for product in products}
    return sorted(products, key=lambda product: (-errors[product], products.index(product)))


def _error_of(evaluator: Evaluator, tasks: Sequence[TaskName]) -> Callable[[Answers], float]:
    """The mean change of the probabilities, summed over the tasks."""
    checkpoints = evaluator.checkpoints

    def error(found: Answers) -> float:
        total = 0.0
        if "text" in tasks:
            temperature = checkpoints.text.temperature
            change = softmax(found.text, temperature) - softmax(
                evaluator.expected.text, temperature
            )
            total += float(abs(change).mean())
        expected, answered = evaluator.expected.fusion, found.fusion
        if "fusion" in tasks and expected is not None and answered is not None:
            temperature = checkpoints.fusion.temperature if checkpoints.fusion else 1.0
            change = softmax(answered, temperature) - softmax(expected, temperature)
            total += float(abs(change).mean())
        return total

    return error
