"""The metadata that the integrations add to a transcript."""

from typing import Any

from emo_runtime import Answer

METADATA_KEY = "emotion"


def answer_metadata(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer that an application needs, as plain values."""
    values = answer.to_dict()
    return {name: values[name] for name in ("label", "confidence", "scores", "uncertain", "notes")}
