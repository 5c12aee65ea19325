"""The schema ``emo-bundle/1``: mean MFCCs only, no speech graphs. Upgraded when it is read."""

from typing import Annotated, Any, Literal

import msgspec

from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.bundle.manifest import (
    Count,
    File,
    Graph,
    Label,
    Licence,
    Manifest,
    Precision,
    Struct,
    Task,
    TaskName,
    Temperature,
    Tokenizer,
)
from emo_runtime.bundle.text_preparation import TextPreparation

SCHEMA_V1 = "emo-bundle/1"


class GraphV1(Struct, frozen=True):
    """An ONNX graph; without a tokenizer it is a fusion graph."""

    outputs: Annotated[list[Literal["logits", "embedding"]], msgspec.Meta(min_length=1)]
    variants: Annotated[dict[Precision, File], msgspec.Meta(min_length=1)]
    tokenizer: str | None = None
    hidden: Count | None = None
    present_input: bool = False


class TaskV1(Struct, frozen=True):
    """Graphs and settings of a task."""

    graph: str
    text_graph: str | None = None
    strip: bool = False
    temperature: Temperature = 1.0


class AudioV1(Struct, frozen=True):
    """Mean MFCCs; the fields have the meaning and defaults of ``MeanMfccSettings``."""

    sample_rate: int = 22_050
    channels: Literal["mean"] = "mean"
    resampler: Literal["soxr_hq"] = "soxr_hq"
    n_fft: int = 2048
    hop_length: int = 512
    window: Literal["hann"] = "hann"
    center: bool = True
    pad_mode: Literal["constant"] = "constant"
    power: Literal[2] = 2
    n_mels: int = 128
    fmin: float = 0.0
    fmax: float = 11_025.0
    mel_scale: Literal["slaney"] = "slaney"
    mel_norm: Literal["slaney"] = "slaney"
    amin: float = 1e-10
    top_db: float = 80.0
    dct: Literal["ortho"] = "ortho"
    n_mfcc: int = 128
    pooling: Literal["mean"] = "mean"
    bandwidth_hz: float | None = None


class ManifestV1(Struct, frozen=True, kw_only=True):
    """A manifest of the schema ``emo-bundle/1``."""

    schema: Literal["emo-bundle/1"]
    name: str
    version: str
    licence: Licence
    language: str
    labels: Annotated[list[Label], msgspec.Meta(min_length=2, max_length=256)]
    tasks: Annotated[dict[TaskName, TaskV1], msgspec.Meta(min_length=1)]
    graphs: Annotated[dict[str, GraphV1], msgspec.Meta(min_length=1, max_length=8)]
    tokenizers: Annotated[dict[str, Tokenizer], msgspec.Meta(max_length=4)]
    golden: File
    card: File
    verification: dict[str, Any]
    provenance: dict[str, Any]
    audio: AudioV1 | None = None


def upgrade(old: ManifestV1) -> Manifest:
    """Return the same manifest in the current schema. Raises ValueError."""
    audio = None
    if old.audio is not None:
        audio = msgspec.convert(msgspec.to_builtins(old.audio), MeanMfccSettings)
    return Manifest(
        name=old.name,
        version=old.version,
        licence=old.licence,
        language=old.language,
        labels=old.labels,
        tasks={name: _task(task) for name, task in old.tasks.items()},
        graphs={name: _graph(graph, audio) for name, graph in old.graphs.items()},
        tokenizers=old.tokenizers,
        golden=old.golden,
        card=old.card,
        verification=old.verification,
        provenance=old.provenance,
        audio=audio,
    )


def _task(old: TaskV1) -> Task:
    return Task(
        graph=old.graph,
        text_graph=old.text_graph,
        preparation=TextPreparation(strip=old.strip),
        temperature=old.temperature,
    )


def _graph(old: GraphV1, audio: MeanMfccSettings | None) -> Graph:
    if old.tokenizer is None:
        return Graph(
            kind="fusion",
            outputs=old.outputs,
            variants=old.variants,
            audio_width=None if audio is None else audio.n_mfcc,
            text_width=old.hidden,
            present_input=old.present_input,
        )
    embedding = "embedding" in old.outputs
    return Graph(
        kind="text" if "logits" in old.outputs else "encoder",
        outputs=old.outputs,
        variants=old.variants,
        tokenizer=old.tokenizer,
        pooling="mean" if embedding else None,
        width=old.hidden if embedding else None,
    )
