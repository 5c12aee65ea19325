"""The accuracy gate: the loss of a reduced precision must be within stated limits."""

from collections.abc import Sequence

from emo_export.evaluation.compare import Comparison
from emo_export.options import Gate
from emo_runtime.errors import EmoError

# If the reference predicts one label for nearly all rows, a constant prediction agrees with it.
LARGEST_SHARE = 0.95


class GateError(EmoError):
    """The loss exceeds the gate with every precision tried; no bundle is written."""


def missed(comparisons: Sequence[Comparison], gate: Gate) -> list[str]:
    """Return one sentence for each limit that is not met."""
    reasons = []
    for item in comparisons:
        where = f"task {item.task}, {item.precision}"
        if item.agreement < gate.min_agreement:
            reasons.append(f"{where}: label agreement {item.agreement:.4f} < {gate.min_agreement}")
        if item.mean_probability_difference > gate.max_change:
            reasons.append(
                f"{where}: mean change of the probabilities "
                f"{item.mean_probability_difference:.4f} > {gate.max_change}"
            )
        if item.macro_f1 is not None and item.reference_macro_f1 is not None:
            loss = item.reference_macro_f1 - item.macro_f1
            if loss > gate.max_f1_loss:
                reasons.append(f"{where}: macro-F1 loss {loss:.4f} > {gate.max_f1_loss}")
    return reasons


def unfit_rows(comparisons: Sequence[Comparison], evaluated: str) -> list[str]:
    """Return one sentence for each reason why the rows cannot judge a reduced precision.

    Rows labelled by the caller always can: the loss of macro-F1 is measured on them. Comparisons on
    random audio vectors are ignored: only the fusion network reads them, and it stays in float32.
    """
    return [
        f"task {item.task}: the checkpoint gives {item.largest_share:.1%} of {evaluated} the same "
        f"answer ({item.labels} of its labels occur), so the label agreement says nothing. Give "
        "more or labelled rows of its own domain with --evaluate"
        for item in comparisons
        if item.precision != "fp32"
        and item.largest_share > LARGEST_SHARE
        and not (item.own_labels or item.random_sound)
    ]


def require(
    comparisons: Sequence[Comparison], gate: Gate, *, evaluated: str, tried: str = ""
) -> None:
    """Raise GateError if the gate is enforced and a limit is not met.

    Args:
        comparisons: comparisons of every precision and task.
        gate: the limits.
        evaluated: name of the rows.
        tried: a sentence about the repair of int8, if any.
    """
    if not gate.enforced:
        return
    if unfit := unfit_rows(comparisons, evaluated):
        raise GateError(f"{'; '.join(unfit)}, or accept any loss with --no-gate.")
    if reasons := missed(comparisons, gate):
        raise GateError(
            f"{'; '.join(reasons)}. {tried}No bundle was written. Try --precision fp32, lower the "
            "gate (--min-agreement, --max-f1-loss, --max-change), or accept any loss with "
            "--no-gate."
        )
