"""The gate: a reduced precision within the stated loss, repaired until it is, or refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx

from emo_export.measure import Bench
from emo_export.options import Gate
from emo_export.reference import Answers, softmax
from emo_export.variants import Optimized, variant
from emo_export.verify import Comparison
from emo_runtime.errors import EmoError
from emo_runtime.manifest import TaskName

# A graph with more of its products in float32 than this is no int8 graph any more.
_LARGEST_KEPT_SHARE = 0.5
_RANKING_ROWS = 64


class GateError(EmoError):
    """Nothing that was tried keeps the loss within the gate: no bundle is written."""


@dataclass(frozen=True)
class Int8:
    """The int8 text graphs that were chosen, and which matrix products stay in float32.

    ``unrepaired`` are those that missed the gate, to tell what its repair costs.
    """

    graphs: Mapping[str, onnx.ModelProto]
    unrepaired: Mapping[str, onnx.ModelProto] = field(default_factory=dict)
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    products: Mapping[str, int] = field(default_factory=dict)


def missed(comparisons: Sequence[Comparison], gate: Gate) -> list[str]:
    """What is not within the gate, in words; empty where everything is."""
    reasons = []
    for item in comparisons:
        where = f"task {item.task}, {item.precision}"
        if item.agreement < gate.min_agreement:
            reasons.append(f"{where}: label agreement {item.agreement:.4f} < {gate.min_agreement}")
        if item.macro_f1 is not None and item.reference_macro_f1 is not None:
            loss = item.reference_macro_f1 - item.macro_f1
            if loss > gate.max_f1_loss:
                reasons.append(f"{where}: macro-F1 loss {loss:.4f} > {gate.max_f1_loss}")
    return reasons


def require(comparisons: Sequence[Comparison], gate: Gate) -> None:
    """Raise GateError where the gate is enforced and missed."""
    reasons = missed(comparisons, gate)
    if gate.enforced and reasons:
        raise GateError(
            f"{'; '.join(reasons)}. No bundle was written. Try --precision fp32, lower the gate "
            "(--min-agreement, --max-f1-loss), or accept the loss with --no-gate."
        )


def choose_int8(optimized: Optimized, bench: Bench, gate: Gate) -> Int8:
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
        tasks = _tasks_of(name, bench)
        keep: list[str] = []
        chosen[name] = variant(optimized, name, "int8")
        if gate.enforced and missed(_judge(optimized, bench, name, chosen[name], tasks), gate):
            for product in _worst_first(optimized, bench, name, tasks):
                if len(keep) >= _LARGEST_KEPT_SHARE * len(products):
                    break
                keep.append(product)
                chosen[name] = variant(optimized, name, "int8", frozenset(keep))
                if not missed(_judge(optimized, bench, name, chosen[name], tasks), gate):
                    break
        if keep:
            unrepaired[name] = variant(optimized, name, "int8")
        kept[name] = tuple(sorted(products.index(product) for product in keep))
    return Int8(chosen, unrepaired, kept, {name: len(optimized.products(name)) for name in names})


def _tasks_of(name: str, bench: Bench) -> tuple[TaskName, ...]:
    """The tasks whose answers a graph makes."""
    if bench.checkpoints.fusion is None:
        return ("text",)
    if bench.checkpoints.shared:
        return ("text", "fusion")
    return ("text",) if name == "text" else ("fusion",)


def _judge(
    optimized: Optimized,
    bench: Bench,
    name: str,
    model: onnx.ModelProto,
    tasks: Sequence[TaskName],
) -> list[Comparison]:
    """One graph changed, the others exact: the comparisons of the tasks that it makes."""
    found = bench.ask({**optimized.graphs, name: model})
    return [item for item in bench.compare("int8", found) if item.task in tasks]


def _worst_first(
    optimized: Optimized, bench: Bench, name: str, tasks: Sequence[TaskName]
) -> list[str]:
    some = bench.every(max(1, len(bench.evaluation.rows) // _RANKING_ROWS))
    products = optimized.products(name)
    error = _error_of(some, tasks)

    def alone(product: str) -> float:
        others = frozenset(products) - {product}
        model = variant(optimized, name, "int8", others)
        return error(some.ask({**optimized.graphs, name: model}))

    errors = {product: alone(product) for product in products}
    return sorted(products, key=lambda product: (-errors[product], products.index(product)))


def _error_of(bench: Bench, tasks: Sequence[TaskName]) -> Callable[[Answers], float]:
    """The mean change of the probabilities, summed over the tasks."""
    checkpoints = bench.checkpoints

    def error(found: Answers) -> float:
        total = 0.0
        if "text" in tasks:
            temperature = checkpoints.text.temperature
            change = softmax(found.text, temperature) - softmax(bench.expected.text, temperature)
            total += float(abs(change).mean())
        expected, answered = bench.expected.fusion, found.fusion
        if "fusion" in tasks and expected is not None and answered is not None:
            temperature = checkpoints.fusion.temperature if checkpoints.fusion else 1.0
            change = softmax(answered, temperature) - softmax(expected, temperature)
            total += float(abs(change).mean())
        return total

    return error
