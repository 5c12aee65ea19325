"""manifest.json: what a bundle says of itself (schema ``emo-bundle/1``), and its strict reader."""

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NoReturn, get_args

import msgspec

from emo_runtime.errors import BundleError

SCHEMA = "emo-bundle/1"
MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.sig"
MAX_MANIFEST_BYTES = 4 << 20
MAX_FILE_BYTES = (1 << 31) - 1  # protobuf can't read a larger graph
# "int8" has scales that are found while a graph runs, "int8-qdq" fixed ones (for OpenVINO).
Precision = Literal["int8", "int8-qdq", "fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
TaskName = Literal["text", "fusion", "audio"]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 24)]
Temperature = Annotated[float, msgspec.Meta(ge=0.01, le=100.0)]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED_ON_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable, and strict about unknown fields: a name misspelt is a fault, not a default."""


class File(_Struct, frozen=True):
    """One file of the bundle: its plain name, SHA-256 in lower-case hex, and size in bytes."""

    file: FileName
    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_FILE_BYTES)]


class Tokenizer(File, frozen=True):
    """A Hugging Face ``tokenizer.json``; ``max_tokens`` counts [CLS] and [SEP]."""

    max_tokens: Count
    vocab_size: Count


class Graph(_Struct, frozen=True):
    """An ONNX graph and its variants by precision. Text-side graphs name their tokenizer."""

    outputs: Annotated[list[Literal["logits", "embedding"]], msgspec.Meta(min_length=1)]
    variants: Annotated[dict[Precision, File], msgspec.Meta(min_length=1)]
    tokenizer: str | None = None
    hidden: Count | None = None
    present_input: bool = False


class Task(_Struct, frozen=True):
    """How a task is answered: from which graph, with which preparation and temperature.

    ``text_graph`` (task fusion only) names the graph that gives ``embedding``; ``strip`` says
    whether outer blanks are removed from the transcript; logits are divided by ``temperature``
    before the softmax.
    """

    graph: str
    text_graph: str | None = None
    strip: bool = False
    temperature: Temperature = 1.0


class Audio(_Struct, frozen=True):
    """The whole contract of the audio features, the resampler included (librosa 0.11's terms).

    ``bandwidth_hz`` is the highest frequency that the training sound had; None: not known.
    """

    sample_rate: Annotated[int, msgspec.Meta(ge=4000, le=192_000)] = 22_050
    channels: Literal["mean"] = "mean"
    resampler: Literal["soxr_hq"] = "soxr_hq"
    n_fft: Annotated[int, msgspec.Meta(ge=16, le=1 << 16)] = 2048
    hop_length: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)] = 512
    window: Literal["hann"] = "hann"
    center: bool = True
    pad_mode: Literal["constant"] = "constant"
    power: Literal[2] = 2
    n_mels: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 128
    fmin: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    fmax: Annotated[float, msgspec.Meta(gt=0.0)] = 11_025.0
    mel_scale: Literal["slaney"] = "slaney"
    mel_norm: Literal["slaney"] = "slaney"
    amin: Annotated[float, msgspec.Meta(gt=0.0)] = 1e-10
    top_db: Annotated[float, msgspec.Meta(gt=0.0)] = 80.0
    dct: Literal["ortho"] = "ortho"
    n_mfcc: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 128
    pooling: Literal["mean"] = "mean"
    bandwidth_hz: Annotated[float, msgspec.Meta(gt=0.0)] | None = None


class Licence(_Struct, frozen=True):
    """Licence of the weights as an SPDX expression, and a sentence for people."""

    weights: str
    notice: str


class Manifest(_Struct, frozen=True):
    """Everything an answer needs to know, and what the export found out about it."""

    schema: Literal["emo-bundle/1"]
    name: str
    version: str
    licence: Licence
    language: str
    labels: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=64)]],
        msgspec.Meta(min_length=2, max_length=256),
    ]
    tasks: Annotated[dict[TaskName, Task], msgspec.Meta(min_length=1)]
    graphs: Annotated[dict[str, Graph], msgspec.Meta(min_length=1, max_length=8)]
    tokenizers: Annotated[dict[str, Tokenizer], msgspec.Meta(max_length=4)]
    golden: File
    card: File
    verification: dict[str, Any]
    provenance: dict[str, Any]
    audio: Audio | None = None

    def files(self) -> Iterator[File]:
        """Every file that the bundle consists of, the manifest itself excepted."""
        for graph in self.graphs.values():
            yield from graph.variants.values()
        yield from self.tokenizers.values()
        yield self.golden
        yield self.card


def parse_manifest(data: bytes) -> Manifest:
    """Read and check a manifest.

    Raises BundleError where the JSON is malformed, too large or too deep, has a key twice or a
    number that is not finite, is of another schema, or contradicts itself.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{MANIFEST_NAME}: {len(data):,} bytes, more than the {MAX_MANIFEST_BYTES:,} that a "
            "manifest may have. This is not a bundle of this software."
        )
    try:
        document = json.loads(
            data,
            object_pairs_hook=_without_duplicates,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        msgspec.json.encode(document)  # can be written again: half a surrogate pair can't
    except RecursionError:
        raise BundleError(f"{MANIFEST_NAME}: nested too deeply. {_REMEDY}") from None
    except ValueError as error:
        raise BundleError(f"{MANIFEST_NAME}: not valid JSON: {error}. {_REMEDY}") from None
    _check_schema(document)
    try:
        manifest = msgspec.convert(document, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{MANIFEST_NAME}: {error}. {_REMEDY}") from None
    _check_names(manifest)
    _check_references(manifest)
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes of a manifest: fields in their order, two blanks of indentation."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def json_schema() -> dict[str, Any]:
    """JSON Schema of the manifest, as kept in ``docs/manifest.schema.json``."""
    return msgspec.json.schema(Manifest)


_REMEDY = "The manifest was changed or damaged: copy the bundle again or run emo-export."


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(number: str) -> float:
    if math.isinf(value := float(number)):
        raise ValueError(f"{number:.40} is beyond every number")
    return value


def _check_schema(document: object) -> None:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema == SCHEMA:
        return
    match = re.fullmatch(r"emo-bundle/(\d{1,9})", schema) if isinstance(schema, str) else None
    if match is None:
        raise BundleError(
            f"{MANIFEST_NAME}: no schema that is known here ({schema!r:.80}; expected {SCHEMA!r}). "
            "This is not a bundle of this software."
        )
    raise BundleError(
        f"{MANIFEST_NAME}: written for {schema!r}, this emo-runtime reads {SCHEMA!r}. "
        "Update emo-runtime, or export the bundle again with this version."
    )


def _check_names(manifest: Manifest) -> None:
    names = [item.file for item in manifest.files()]
    for name in names:
        if not _PLAIN_NAME.fullmatch(name) or _RESERVED_ON_WINDOWS.fullmatch(name):
            raise BundleError(
                f"{MANIFEST_NAME}: {name!r} is no plain file name (letters, digits, '.', '_' and "
                "'-' only; no folders, no way out of the bundle). Do not use this bundle."
            )
    folded = [
        unicodedata.normalize("NFKC", name).casefold()
        for name in [*names, MANIFEST_NAME, SIGNATURE_NAME]
    ]
    for name, fold in zip(names, folded, strict=False):
        if folded.count(fold) > 1:
            raise BundleError(
                f"{MANIFEST_NAME}: the file name {name!r} is used twice (upper and lower case "
                "count as equal). Do not use this bundle."
            )
    if len(set(manifest.labels)) != len(manifest.labels):
        raise BundleError(f"{MANIFEST_NAME}: a label stands twice. {_REMEDY}")


def _check_references(manifest: Manifest) -> None:
    for name, graph in manifest.graphs.items():
        if graph.tokenizer is not None and graph.tokenizer not in manifest.tokenizers:
            _refuse(
                f"graphs.{name}", f"names the tokenizer {graph.tokenizer!r}, which is not there"
            )
        if "embedding" in graph.outputs and graph.hidden is None:
            _refuse(f"graphs.{name}", "gives an embedding, but 'hidden' is not there")
    for name, task in manifest.tasks.items():
        used = manifest.graphs.get(task.graph)
        if used is None or "logits" not in used.outputs:
            _refuse(f"tasks.{name}", f"its graph {task.graph!r} is not there or gives no logits")
        if name == "text":
            if used.tokenizer is None:
                _refuse("tasks.text", f"its graph {task.graph!r} names no tokenizer")
        else:
            _check_sound_task(manifest, name, task, used)
    if manifest.audio is not None:
        _check_audio(manifest.audio)


def _check_sound_task(manifest: Manifest, name: TaskName, task: Task, graph: Graph) -> None:
    where = f"tasks.{name}"
    if manifest.audio is None:
        _refuse(where, "needs the audio contract, which is not there")
    if graph.tokenizer is not None or graph.hidden is None:
        _refuse(where, f"its graph {task.graph!r} is no fusion graph ('hidden', no tokenizer)")
    if name == "audio":
        if not graph.present_input:
            _refuse(where, f"its graph {task.graph!r} was not trained to do without text")
        return
    encoder = manifest.graphs.get(task.text_graph or "")
    if encoder is None or "embedding" not in encoder.outputs or encoder.tokenizer is None:
        _refuse(where, f"its text graph {task.text_graph!r} gives no embedding of a transcript")
    if encoder.hidden != graph.hidden:
        _refuse(where, f"its graphs differ in 'hidden' ({graph.hidden} and {encoder.hidden})")


def _check_audio(audio: Audio) -> None:
    if not audio.center:
        _refuse("audio", "frames that are not centred ('center') are not known here")
    if audio.n_mfcc > audio.n_mels:
        _refuse("audio", f"n_mfcc {audio.n_mfcc} exceeds n_mels {audio.n_mels}")
    if not audio.fmin < audio.fmax <= audio.sample_rate / 2:
        _refuse("audio", f"{audio.fmin:g} to {audio.fmax:g} Hz is no range below half the rate")


def _refuse(where: str, what: str) -> NoReturn:
    raise BundleError(f"{MANIFEST_NAME}: {where}: {what}. {_REMEDY}")
