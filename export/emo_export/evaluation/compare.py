"""Sixth step: compare the outputs of the graphs with those of the checkpoint in PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_export.checkpoints.load import Checkpoints, TextCheckpoint, token_ids
from emo_export.checkpoints.tokenizer import Ids
from emo_export.evaluation.inputs import Inputs, Sound, encode_clips
from emo_export.evaluation.reference import AUDIO_ONLY, Answers, adapted
from emo_export.evaluation.session import GraphSession
from emo_models.evaluation.metrics import activate, macro_f1
from emo_models.evaluation.multi_label import macro_f1 as multi_label_macro_f1
from emo_runtime.bundle.manifest import TaskName

Floats = NDArray[np.float32]
_NOT_REPORTED = ("own_labels", "random_sound")
Graphs = Mapping[str, onnx.ModelProto]
Outputs = Mapping[str, Floats]
Targets = NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """Comparison of one task's predictions with the reference's, over ``rows`` utterances.

    Attributes:
        agreement: share of rows with equal labels (equal sets of labels, if multi-label).
        labels: number of distinct labels that the reference predicts.
        largest_share: share of rows with the reference's most frequent predicted label (set of
            labels, if multi-label).
        mean_probability_difference: mean absolute change over rows and labels.
        macro_f1: macro-F1 against the labels of the rows; None without labels.
        reference_macro_f1: macro-F1 of the reference.
        own_labels: True if the caller gave the labels; False for the built-in sentences.
        random_sound: True if the audio vectors are random because the rows have no sound.
    """

    task: TaskName
    precision: str
    rows: int
    agreement: float
    labels: int
    largest_share: float
    mean_probability_difference: float
    largest_probability_difference: float
    largest_logit_difference: float
    reference_macro_f1: float | None = None
    macro_f1: float | None = None
    own_labels: bool = False
    random_sound: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain values, rounded to hide floating-point noise."""
        return {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in asdict(self).items()
            if value is not None and key not in _NOT_REPORTED
        }


class Memory:
    """Cache of the outputs of the most recent graphs, by name.

    A repair runs dozens of variants of one graph: the outputs of the others stay the same.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[onnx.ModelProto, Outputs]] = {}

    def outputs(self, name: str, model: onnx.ModelProto, ask: Callable[[], Outputs]) -> Outputs:
        """Return the outputs of a graph; run it only if it differs from the last one."""
        last = self._last.get(name)
        if last is None or last[0] is not model:
            last = self._last[name] = (model, ask())
        return last[1]


def verify(
    graphs: Graphs, checkpoints: Checkpoints, inputs: Inputs, memory: Memory | None = None
) -> Answers:
    """Return the predictions of a set of graphs, one row at a time, as in the runtime.

    ``graphs`` has one variant of every graph of the bundle, by name. Use one ``memory`` per set of
    inputs.
    """
    memory = memory or Memory()
    text, fusion, encoder = checkpoints.text, checkpoints.fusion, checkpoints.encoder
    sound, texts = inputs.sound, inputs.texts

    def read(name: str, checkpoint: TextCheckpoint, *, strip: bool) -> Outputs:
        return memory.outputs(
            name if strip or not checkpoints.shared else f"{name}, unstripped",
            graphs[name],
            lambda: _texts(graphs[name], token_ids(checkpoint, texts, strip=strip)),
        )

    logits = fused = None
    if text is not None and texts:
        logits = read("text", text, strip=text.preparation.strip)["logits"]
    if sound is None:
        return Answers(logits)
    vectors, audio = _sound(graphs, checkpoints, sound, memory)
    if fusion is None or vectors is None:
        return Answers(logits, audio=audio)
    if encoder is not None and texts:
        name = "text" if checkpoints.shared else "encoder"
        embeddings = read(name, encoder, strip=True)["embedding"]
        fused = run_fusion(graphs["fusion"], vectors[sound.rows], embeddings)
    if checkpoints.audio_by_fusion:
        silent = np.zeros((len(vectors), fusion.hidden), np.float32)
        audio = run_fusion(graphs["fusion"], vectors, silent, AUDIO_ONLY)
    return Answers(logits, fused, audio)


def _texts(model: onnx.ModelProto, rows: Sequence[Ids]) -> Outputs:
    session = GraphSession(model)
    found = [session.text(ids) for ids in rows]
    return {name: np.stack([row[name] for row in found]) for name in session.outputs}


def _sound(
    graphs: Graphs, checkpoints: Checkpoints, sound: Sound, memory: Memory
) -> tuple[Floats | None, Floats | None]:
    """Return audio vectors for the fusion graph, and speech graph logits, each [clips, width]."""
    if checkpoints.speech is None:
        return sound.vectors, None
    name = checkpoints.speech.input_name

    def listen() -> Outputs:
        session = GraphSession(graphs["speech"])
        return encode_clips(lambda part: session.run(**{name: part}), sound.clips)

    outputs = memory.outputs("speech", graphs["speech"], listen)
    return adapted(checkpoints, outputs.get("embedding")), outputs.get("logits")


def run_fusion(
    model: onnx.ModelProto,
    vectors: Floats,
    embeddings: Floats,
    present: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Return logits [rows, labels] of a fusion graph."""
    inputs = {"audio": vectors, "text": embeddings}
    if any(item.name == "present" for item in model.graph.input):
        inputs["present"] = np.tile(np.asarray(present, np.float32), (len(vectors), 1))
    return GraphSession(model).run(**inputs)["logits"]


def compare(
    task: TaskName,
    precision: str,
    reference: Floats,
    found: Floats,
    *,
    temperature: float,
    targets: Targets | None = None,
    own_labels: bool = False,
    multi_label: bool = False,
) -> Comparison:
    """Compare logits [rows, labels] with the reference's.

    ``targets`` are class numbers [rows], or bool [rows, labels] for a multi-label task.
    """
    probabilities = np.abs(
        activate(reference, temperature, multi_label=multi_label)
        - activate(found, temperature, multi_label=multi_label)
    )
    expected = _predicted(reference, multi_label=multi_label)
    answered = _predicted(found, multi_label=multi_label)
    _, sizes = np.unique(expected, axis=0, return_counts=True)
    return Comparison(
        task=task,
        precision=precision,
        rows=len(reference),
        agreement=_equal_share(expected, answered),
        labels=int(expected.any(axis=0).sum()) if multi_label else len(sizes),
        largest_share=float(sizes.max() / len(expected)),
        mean_probability_difference=float(probabilities.mean()),
        largest_probability_difference=float(probabilities.max()),
        largest_logit_difference=float(np.abs(reference - found).max()),
        reference_macro_f1=_macro_f1(targets, expected, reference.shape[1]),
        macro_f1=_macro_f1(targets, answered, reference.shape[1]),
        own_labels=own_labels and targets is not None,
    )


def _predicted(logits: Floats, *, multi_label: bool) -> Targets:
    """Return the predicted labels in the form of the targets."""
    return logits >= 0 if multi_label else logits.argmax(axis=1)


def _equal_share(expected: Targets, answered: Targets) -> float:
    """Return the share of rows with the same label (set of labels, if multi-label)."""
    same = expected == answered
    return float((same if same.ndim == 1 else same.all(axis=1)).mean())


def _macro_f1(targets: Targets | None, predicted: Targets, labels: int) -> float | None:
    if targets is None:
        return None
    if targets.ndim == 2:
        return multi_label_macro_f1(targets, predicted)
    return macro_f1(targets, predicted, labels)
