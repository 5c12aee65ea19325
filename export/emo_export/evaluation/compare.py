"""Sixth step: what the graphs answer, against the checkpoint in PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.reference import Answers, softmax
from emo_export.evaluation.session import GraphSession
from emo_runtime.bundle.manifest import TaskName

Floats = NDArray[np.float32]
Graphs = Mapping[str, onnx.ModelProto]


@dataclass(frozen=True)
class Comparison:
    """One task's answers against the reference's, over ``rows`` utterances.

    ``agreement`` is the share of equal labels. ``macro_f1`` and ``reference_macro_f1`` are against
    the rows' own labels, None where there are none.
    """

    task: TaskName
    precision: str
    rows: int
    agreement: float
    largest_probability_difference: float
    largest_logit_difference: float
    reference_macro_f1: float | None = None
    macro_f1: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded so that the last bits of a float don't show."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
            if value is not None
        }


def verify(
    graphs: Graphs,
    checkpoints: Checkpoints,
    texts: Sequence[str],
    mfcc: Floats | None,
) -> Answers:
    """What a set of graphs answers, each row by itself, as the runtime asks them.

    ``graphs`` holds one variant each of ``text``, ``encoder`` (unless shared) and ``fusion``.
    """
    text = checkpoints.text
    session = GraphSession(graphs["text"])
    rows = [session.text(ids) for ids in token_ids(text, texts, strip=text.strip)]
    logits = np.stack([row["logits"] for row in rows])
    if checkpoints.encoder is None or mfcc is None or "fusion" not in graphs:
        return Answers(logits)
    if not checkpoints.shared or not text.strip:
        session = session if checkpoints.shared else GraphSession(graphs["encoder"])
        rows = [session.text(ids) for ids in token_ids(checkpoints.encoder, texts, strip=True)]
    embeddings = np.stack([row["embedding"] for row in rows])
    return Answers(logits, run_fusion(graphs["fusion"], mfcc, embeddings))


def run_fusion(
    model: onnx.ModelProto,
    mfcc: Floats,
    embeddings: Floats,
    present: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Logits [rows, labels] of a fusion graph."""
    inputs = {"audio": mfcc, "text": embeddings}
    if any(item.name == "present" for item in model.graph.input):
        inputs["present"] = np.tile(np.asarray(present, np.float32), (len(mfcc), 1))
    return GraphSession(model).run(**inputs)["logits"]


def compare(
    task: TaskName,
    precision: str,
    reference: Floats,
    found: Floats,
    *,
    temperature: float,
    label_ids: NDArray[np.int64] | None = None,
) -> Comparison:
    """Compare logits [rows, labels] with the reference's."""
    expected, answered = reference.argmax(axis=1), found.argmax(axis=1)
    probabilities = np.abs(softmax(reference, temperature) - softmax(found, temperature))
    count = reference.shape[1]
    return Comparison(
        task=task,
        precision=precision,
        rows=len(reference),
        agreement=float((expected == answered).mean()),
        largest_probability_difference=float(probabilities.max()),
        largest_logit_difference=float(np.abs(reference - found).max()),
        reference_macro_f1=None if label_ids is None else macro_f1(label_ids, expected, count),
        macro_f1=None if label_ids is None else macro_f1(label_ids, answered, count),
    )


def macro_f1(expected: NDArray[np.int64], answered: NDArray[np.int64], labels: int) -> float:
    """Unweighted mean of the F1 of the labels that occur; scikit-learn's ``average="macro"``."""
    scores = []
    for label in range(labels):
        true = int(((expected == label) & (answered == label)).sum())
        both = int((expected == label).sum() + (answered == label).sum())
        if both:
            scores.append(2 * true / both)
    return float(np.mean(scores))
