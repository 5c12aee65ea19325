"""Structures of manifest.json, schema ``emo-bundle/2``. ``manifest_reader`` reads them."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.bundle.text_preparation import TextPreparation

SCHEMA: Final = "emo-bundle/2"
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = (1 << 31) - 1  # protobuf can't read a larger graph
# "int8" has scales that are computed at run time, "int8-qdq" fixed ones (for OpenVINO).
Precision = Literal["int8", "int8-qdq", "fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TaskName = Literal["text", "fusion", "audio"]
GraphKind = Literal["text", "encoder", "speech", "fusion"]
Activation = Literal["softmax", "sigmoid"]
Pooling = Literal["mean", "cls", "mean_std"]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Temperature = Annotated[float, msgspec.Meta(ge=0.01, le=100.0)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable; an unknown field is an error, so that a misspelled name is never ignored."""


class File(Struct, frozen=True):
    """A file of the bundle: plain name, SHA-256 in lower-case hex, size in bytes."""

    file: FileName
    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_BYTES)]


class Tokenizer(File, frozen=True):
    """A Hugging Face ``tokenizer.json``; ``max_tokens`` includes the special tokens."""

    max_tokens: Count
    vocab_size: Count


class Graph(Struct, frozen=True, kw_only=True):
    """An ONNX graph and its variants by precision.

    Attributes:
        kind: What the graph reads. ``text``: token ids, gives logits (and an embedding, where the
            fusion uses the same encoder). ``encoder``: token ids, gives an embedding. ``speech``:
            the front end's features or samples, gives an embedding and/or logits. ``fusion``: an
            audio vector and a text vector, gives logits.
        outputs: Its outputs.
        variants: The files, by precision.
        tokenizer: Name of the tokenizer (kinds text, encoder).
        pooling: How states become the embedding. Informative: the pooling is part of the graph.
        width: Width of the embedding.
        audio_width: Width of the input ``audio`` (kind fusion).
        text_width: Width of the input ``text`` (kind fusion).
        present_input: True if a fusion graph has the input ``present`` and can answer without text.
    """

    kind: GraphKind
    outputs: Annotated[list[Literal["logits", "embedding"]], msgspec.Meta(min_length=1)]
    variants: Annotated[dict[Precision, File], msgspec.Meta(min_length=1)]
    tokenizer: str | None = None
    pooling: Pooling | None = None
    width: Count | None = None
    audio_width: Count | None = None
    text_width: Count | None = None
    present_input: bool = False


class Task(Struct, frozen=True):
    """Graphs and settings of a task.

    Attributes:
        graph: The graph that gives the logits.
        text_graph: The graph that gives the text embedding (task fusion).
        audio_graph: The speech graph that gives the audio vector of a fusion graph. None: the front
            end's vector is used directly.
        preparation: Changes to a transcript before it is tokenized.
        temperature: Logits are divided by it before the activation.
        activation: ``softmax`` (exactly one label) or ``sigmoid`` (independent labels).
    """

    graph: str
    text_graph: str | None = None
    audio_graph: str | None = None
    preparation: TextPreparation = TextPreparation()
    temperature: Temperature = 1.0
    activation: Activation = "softmax"


class Adaptation(Struct, frozen=True):
    """Speaker adaptation that the fusion graphs were trained for.

    Attributes:
        mean: File of the population mean of the audio vectors: little-endian float32 values.
        weight: Weight of the population mean, as a number of utterances.
    """

    mean: File
    weight: Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]


class Licence(Struct, frozen=True):
    """Licence of the weights as an SPDX expression, and a sentence for people."""

    weights: str
    notice: str


class Manifest(Struct, frozen=True, kw_only=True):
    """Everything that an answer depends on, and the measurements of the export."""

    schema: Literal["emo-bundle/2"] = SCHEMA
    name: str
    version: str
    licence: Licence
    language: str
    labels: Annotated[list[Label], msgspec.Meta(min_length=2, max_length=256)]
    tasks: Annotated[dict[TaskName, Task], msgspec.Meta(min_length=1)]
    graphs: Annotated[dict[str, Graph], msgspec.Meta(min_length=1, max_length=8)]
    tokenizers: Annotated[dict[str, Tokenizer], msgspec.Meta(max_length=4)]
    golden: File
    card: File
    verification: dict[str, Any]
    provenance: dict[str, Any]
    audio: FrontEndSettings | None = None
    adaptation: Adaptation | None = None

    def files(self) -> Iterator[File]:
        """Yield every file of the bundle except the manifest itself."""
        for graph in self.graphs.values():
            yield from graph.variants.values()
        yield from self.tokenizers.values()
        if self.adaptation is not None:
            yield self.adaptation.mean
        yield self.golden
        yield self.card

    def graphs_of(self, task: TaskName) -> tuple[str, ...]:
        """Names of the graphs that a task uses."""
        used = self.tasks[task]
        names = (used.graph, used.text_graph, used.audio_graph)
        return tuple(dict.fromkeys(name for name in names if name is not None))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical bytes of a manifest: fields in their order, indented by two spaces."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the manifest, kept in ``docs/manifest.schema.json``."""
    schema: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Manifest)))
    return schema
