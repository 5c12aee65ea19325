"""The gate: a reduced precision within the stated loss, repaired until it is, or refused."""

from collections.abc import Sequence

from emo_export.evaluation.compare import Comparison
from emo_export.options import Gate
from emo_runtime.errors import EmoError


class GateError(EmoError):
    """Nothing that was tried keeps the loss within the gate: no bundle is written."""


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
