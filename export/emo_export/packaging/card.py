"""CARD.md: the checkpoint's card, or a short one, with the measurements of the export."""

from collections.abc import Sequence
from pathlib import Path

from emo_export.checkpoints.load import Checkpoints
from emo_export.evaluation.compare import Comparison
from emo_export.options import Identity
from emo_runtime.errors import EmoError

_HEAD = """# {name}

{tasks} The labels, in order: {labels}.

- Licence of the weights: {licence}. {notice}
- Weights: {weights} (sha256 of the files).
- The checkpoint has no card. Ask its author for the training data, the intended use and the
  accuracy.
"""


def card(
    checkpoints: Checkpoints,
    identity: Identity,
    comparisons: Sequence[Comparison],
    evaluated: str,
    remarks: Sequence[str] = (),
) -> str:
    """Return the model card in Markdown; ``remarks`` are sentences for its export section.

    Raises:
        EmoError: the given card can't be read.
    """
    section = _export_section(comparisons, evaluated, checkpoints.reference)
    section += "".join(f"\n{remark}\n" for remark in remarks)
    return f"{_head(checkpoints, identity).rstrip()}\n\n{section}"


def _head(checkpoints: Checkpoints, identity: Identity) -> str:
    if identity.card is not None:
        return _read(identity.card)
    what = {
        ("text",): "a transcript",
        ("audio",): "the sound of an utterance",
        ("fusion",): "a transcript with its sound",
        ("text", "audio"): "a transcript, or the sound of an utterance,",
    }.get(checkpoints.tasks, "a transcript, with or without its sound,")
    weights = ", ".join(f"{name} `{sha256}`" for name, sha256 in checkpoints.sha256.items())
    return _HEAD.format(
        name=identity.name,
        tasks=f"Recognizes the emotion that {what} expresses.",
        labels=", ".join(checkpoints.labels),
        licence=identity.licence,
        notice=identity.notice,
        weights=weights,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EmoError(f"{path}: the model card can't be read: {error}.") from error


def _export_section(comparisons: Sequence[Comparison], evaluated: str, reference: str) -> str:
    lines = [
        "## Export",
        "",
        f"Compared with {reference} (float32), on {evaluated}:",
        "",
        "| task | precision | rows | label agreement | largest difference of a probability | "
        "macro-F1 (the checkpoint's) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {item.task} | {item.precision} | {item.rows} | {item.agreement:.4f} | "
        f"{item.largest_probability_difference:.2g} | {_f1(item)} |"
        for item in comparisons
    ]
    return "\n".join(lines) + "\n"


def _f1(item: Comparison) -> str:
    if item.macro_f1 is None:
        return "no labels"
    return f"{item.macro_f1:.4f} ({item.reference_macro_f1:.4f})"
