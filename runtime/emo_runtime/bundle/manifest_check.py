"""Consistency of a manifest: file names, labels, references between its parts."""

import re
import unicodedata
from typing import NoReturn

from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.bundle.manifest import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Graph,
    GraphKind,
    Manifest,
    Task,
    TaskName,
)
from emo_runtime.bundle.text_preparation import TextPreparation
from emo_runtime.errors import BundleError

REMEDY = "The manifest was changed or damaged: copy the bundle again or run emo-export."

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED_ON_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
# Required and optional fields of each kind of graph.
_FIELDS: dict[GraphKind, tuple[set[str], set[str]]] = {
    "text": ({"tokenizer"}, {"width", "pooling"}),
    "encoder": ({"tokenizer", "width"}, {"pooling"}),
    "speech": (set(), {"width", "pooling"}),
    "fusion": ({"audio_width", "text_width"}, {"present_input"}),
}
_OPTIONAL = ("tokenizer", "width", "pooling", "audio_width", "text_width", "present_input")


def check_manifest(manifest: Manifest) -> None:
    """Raise BundleError if a manifest contradicts itself."""
    _check_names(manifest)
    if len(set(manifest.labels)) != len(manifest.labels):
        raise BundleError(f"{MANIFEST_NAME}: duplicate label. {REMEDY}")
    for name, graph in manifest.graphs.items():
        _check_graph(manifest, name, graph)
    for task_name, task in manifest.tasks.items():
        _check_task(manifest, task_name, task)
    _check_adaptation(manifest)


def _check_names(manifest: Manifest) -> None:
    names = [item.file for item in manifest.files()]
    for name in names:
        if not _PLAIN_NAME.fullmatch(name) or _RESERVED_ON_WINDOWS.fullmatch(name):
            raise BundleError(
                f"{MANIFEST_NAME}: {name!r} is not a plain file name (letters, digits, '.', '_' "
                "and '-' only, no folders). Do not use this bundle."
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


def _check_graph(manifest: Manifest, name: str, graph: Graph) -> None:
    where = f"graphs.{name}"
    required, optional = _FIELDS[graph.kind]
    for field in _OPTIONAL:
        present = bool(getattr(graph, field))
        if field in required and not present:
            _refuse(where, f"a graph of kind {graph.kind!r} needs the field {field!r}")
        if present and field not in required | optional:
            _refuse(where, f"the field {field!r} is not for graphs of kind {graph.kind!r}")
    if len(set(graph.outputs)) != len(graph.outputs):
        _refuse(where, "an output is listed twice")
    gives_logits = "logits" in graph.outputs
    if (graph.kind in {"text", "fusion"} and not gives_logits) or (
        graph.kind == "encoder" and gives_logits
    ):
        _refuse(where, f"outputs {graph.outputs} do not fit the kind {graph.kind!r}")
    if graph.kind != "fusion" and ("embedding" in graph.outputs) != (graph.width is not None):
        _refuse(where, "the field 'width' belongs to the output 'embedding': give both or none")
    if graph.kind == "fusion" and "embedding" in graph.outputs:
        _refuse(where, "a fusion graph has no output 'embedding'")
    if graph.tokenizer is not None and graph.tokenizer not in manifest.tokenizers:
        _refuse(where, f"the tokenizer {graph.tokenizer!r} does not exist")
    if graph.kind == "speech" and manifest.audio is None:
        _refuse(where, "a speech graph needs the front end 'audio'")


def _check_task(manifest: Manifest, name: TaskName, task: Task) -> None:
    where = f"tasks.{name}"
    graph = manifest.graphs.get(task.graph)
    if graph is None:
        _refuse(where, f"the graph {task.graph!r} does not exist")
    if name == "text":
        if graph.kind != "text":
            _refuse(where, f"the graph {task.graph!r} is of kind {graph.kind!r}, not 'text'")
        if task.text_graph is not None or task.audio_graph is not None:
            _refuse(where, "it has no 'text_graph' and no 'audio_graph'")
        return
    if name == "audio":
        if task.text_graph is not None or task.preparation != TextPreparation():
            _refuse(where, "it has no 'text_graph' and no 'preparation'")
        if graph.kind == "speech":
            if "logits" not in graph.outputs or task.audio_graph is not None:
                _refuse(
                    where,
                    f"the speech graph {task.graph!r} must have the output 'logits', and the task "
                    "no 'audio_graph'",
                )
            return
        if graph.kind == "fusion" and not graph.present_input:
            _refuse(where, f"the fusion graph {task.graph!r} can't answer without text")
    if graph.kind != "fusion":
        _refuse(where, f"the graph {task.graph!r} is of kind {graph.kind!r}, not 'fusion'")
    if name == "fusion":
        _check_text_vector(manifest, where, task, graph)
    _check_audio_vector(manifest, where, task, graph)


def _check_text_vector(manifest: Manifest, where: str, task: Task, fusion: Graph) -> None:
    encoder = manifest.graphs.get(task.text_graph or "")
    if encoder is None or encoder.tokenizer is None or encoder.width is None:
        _refuse(where, f"its text graph {task.text_graph!r} has no output 'embedding'")
    if encoder.width != fusion.text_width:
        _refuse(
            where,
            f"text_width {fusion.text_width} of {task.graph!r} differs from the width "
            f"{encoder.width} of {task.text_graph!r}",
        )


def _check_audio_vector(manifest: Manifest, where: str, task: Task, fusion: Graph) -> None:
    if task.audio_graph is not None:
        speech = manifest.graphs.get(task.audio_graph)
        if speech is None or speech.kind != "speech" or speech.width is None:
            _refuse(where, f"its audio graph {task.audio_graph!r} has no output 'embedding'")
        width, source = speech.width, repr(task.audio_graph)
    elif isinstance(manifest.audio, MeanMfccSettings):
        width, source = manifest.audio.n_mfcc, "the front end (n_mfcc)"
    else:
        _refuse(where, "it needs an 'audio_graph', or the front end 'audio' of kind 'mean_mfcc'")
    if width != fusion.audio_width:
        _refuse(
            where,
            f"audio_width {fusion.audio_width} of {task.graph!r} differs from the width {width} "
            f"of {source}",
        )


def _check_adaptation(manifest: Manifest) -> None:
    if manifest.adaptation is None:
        return
    widths = {
        manifest.graphs[task.graph].audio_width
        for task in manifest.tasks.values()
        if manifest.graphs[task.graph].kind == "fusion"
    }
    if len(widths) != 1:
        _refuse("adaptation", "it needs tasks with a fusion graph, all of one audio_width")
    [width] = widths
    size = manifest.adaptation.mean.bytes
    if size != 4 * (width or 0):
        _refuse("adaptation", f"the mean has {size:,} bytes, expected 4 for each of {width} values")


def _refuse(where: str, what: str) -> NoReturn:
    raise BundleError(f"{MANIFEST_NAME}: {where}: {what}. {REMEDY}")
