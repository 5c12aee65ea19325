"""The six emotions, in the alphabetical order that scikit-learn's LabelEncoder gives (4.2.4)."""

from __future__ import annotations

from collections.abc import Sequence

from emo_models.errors import DataError

LABELS = ("anger", "disgust", "fear", "joy", "neutral", "sadness")


def label_index(label: str, labels: Sequence[str] = LABELS, *, where: str = "label") -> int:
    """The class number of a label word.

    Raises:
        DataError: the word is none of the labels; the message begins with ``where``.
    """
    try:
        return labels.index(label.strip())
    except ValueError:
        raise DataError(
            f"{where}: unknown label {label!r}. Expected one of: {', '.join(labels)}."
        ) from None
