"""Build the manifest of a bundle from the results of the earlier steps."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from emo_export.checkpoints.load import Checkpoints, FusionCheckpoint, TextCheckpoint
from emo_export.checkpoints.speech import Adaptation, SpeechCheckpoint
from emo_export.checkpoints.validate import front_end_of
from emo_export.options import Identity
from emo_runtime.bundle.manifest import Adaptation as AdaptationEntry
from emo_runtime.bundle.manifest import (
    File,
    Graph,
    Licence,
    Manifest,
    Precision,
    Task,
    TaskName,
    Tokenizer,
)
from emo_runtime.version import __version__

_TOOLS = ("emo-runtime", "onnx", "onnxruntime", "optimum-onnx", "torch", "transformers")

GOLDEN, CARD, POPULATION = "golden.json", "CARD.md", "population.f32"
Part = TextCheckpoint | FusionCheckpoint | SpeechCheckpoint


@dataclass(frozen=True)
class BundleFiles:
    """The files of a bundle by name, and the file of each variant of each graph."""

    files: Mapping[str, bytes]
    graphs: Mapping[str, Mapping[Precision, str]]
    tokenizers: Mapping[str, str]


def build_manifest(
    checkpoints: Checkpoints,
    contents: BundleFiles,
    identity: Identity,
    verification: Mapping[str, Any],
) -> Manifest:
    """Return the manifest of ``contents``; ``verification`` has the export's measurements."""
    return Manifest(
        name=identity.name,
        version=identity.version,
        licence=Licence(weights=identity.licence, notice=identity.notice),
        language="es",
        labels=list(checkpoints.labels),
        tasks=_tasks(checkpoints),
        graphs=_graphs(checkpoints, contents),
        tokenizers=_tokenizers(checkpoints, contents),
        golden=_file(contents, GOLDEN),
        card=_file(contents, CARD),
        verification=dict(verification),
        provenance=_provenance(checkpoints, contents),
        audio=front_end_of(checkpoints),
        adaptation=_adaptation(checkpoints, contents),
    )


def population_mean(checkpoints: Checkpoints) -> Adaptation | None:
    """Return the speaker adaptation of a bundle whose fusion network reads adapted vectors."""
    if checkpoints.speech is None or checkpoints.fusion is None:
        return None
    return checkpoints.speech.adaptation


def _adaptation(checkpoints: Checkpoints, contents: BundleFiles) -> AdaptationEntry | None:
    adaptation = population_mean(checkpoints)
    if adaptation is None:
        return None
    return AdaptationEntry(mean=_file(contents, POPULATION), weight=adaptation.weight)


def _tasks(checkpoints: Checkpoints) -> dict[TaskName, Task]:
    text, fusion, speech = checkpoints.text, checkpoints.fusion, checkpoints.speech
    encoder = checkpoints.encoder
    audio_graph = None if speech is None else "speech"
    tasks: dict[TaskName, Task] = {}
    if text is not None:
        tasks["text"] = Task(
            graph="text",
            preparation=text.preparation,
            temperature=text.temperature,
            activation=checkpoints.activation("text"),
        )
    if fusion is not None and encoder is not None:
        tasks["fusion"] = Task(
            graph="fusion",
            text_graph="text" if checkpoints.shared else "encoder",
            audio_graph=audio_graph,
            preparation=encoder.fusion_preparation,
            temperature=fusion.temperature,
        )
        if fusion.present_input:
            tasks["audio"] = Task("fusion", audio_graph=audio_graph, temperature=fusion.temperature)
    if speech is not None and checkpoints.audio_by_speech:
        tasks["audio"] = Task(
            "speech", temperature=speech.temperature, activation=speech.activation
        )
    return tasks


def _graphs(checkpoints: Checkpoints, contents: BundleFiles) -> dict[str, Graph]:
    text, encoder, fusion = checkpoints.text, checkpoints.encoder, checkpoints.fusion
    speech, shared = checkpoints.speech, checkpoints.shared
    variants = {
        name: {precision: _file(contents, file) for precision, file in files.items()}
        for name, files in contents.graphs.items()
    }
    both: list[Literal["logits", "embedding"]] = ["logits", "embedding"]
    graphs = {}
    if text is not None:
        graphs["text"] = Graph(
            kind="text",
            outputs=both if shared else ["logits"],
            variants=variants["text"],
            tokenizer="text",
            pooling=fusion.text_pooling if shared and fusion is not None else None,
            width=text.hidden if shared else None,
        )
    if encoder is not None and fusion is not None and not shared:
        graphs["encoder"] = Graph(
            kind="encoder",
            outputs=["embedding"],
            variants=variants["encoder"],
            tokenizer="encoder" if "encoder" in contents.tokenizers else "text",
            pooling=fusion.text_pooling,
            width=encoder.hidden,
        )
    if speech is not None:
        outputs = list(checkpoints.speech_outputs)
        graphs["speech"] = Graph(
            kind="speech",
            outputs=outputs,
            variants=variants["speech"],
            pooling=speech.pooling,
            width=speech.width if "embedding" in outputs else None,
        )
    if fusion is not None:
        graphs["fusion"] = Graph(
            kind="fusion",
            outputs=["logits"],
            variants=variants["fusion"],
            audio_width=fusion.audio_width,
            text_width=fusion.hidden,
            present_input=fusion.present_input,
        )
    return graphs


def _tokenizers(checkpoints: Checkpoints, contents: BundleFiles) -> dict[str, Tokenizer]:
    owners: dict[str, TextCheckpoint] = {}
    if checkpoints.text is not None:
        owners["text"] = checkpoints.text
    if checkpoints.encoder is not None:
        owners["encoder"] = checkpoints.encoder
    result = {}
    for name, file in contents.tokenizers.items():
        entry = _file(contents, file)
        tokenizer = owners[name].bundle_tokenizer
        result[name] = Tokenizer(
            file=entry.file,
            sha256=entry.sha256,
            bytes=entry.bytes,
            max_tokens=tokenizer.max_tokens,
            vocab_size=tokenizer.vocab_size,
        )
    return result


def _provenance(checkpoints: Checkpoints, contents: BundleFiles) -> dict[str, Any]:
    tools = _TOOLS + (("nncf",) if "int8-qdq" in contents.graphs.get("text", {}) else ())
    provenance: dict[str, Any] = {
        "checkpoints_sha256": checkpoints.sha256,
        "tools": {name: _version(name) for name in tools},
    }
    candidates: dict[str, Part | None] = {
        "text": checkpoints.text,
        "fusion": checkpoints.fusion,
        "speech": checkpoints.speech,
    }
    parts = {name: part for name, part in candidates.items() if part is not None}
    for key, look in (("decisions", _decisions), ("scores", _scores)):
        if values := {name: value for name, part in parts.items() if (value := look(part))}:
            provenance[key] = values
    return provenance


def _decisions(part: Part) -> dict[str, str]:
    """Return the trainer's recorded decisions on points that the paper leaves open."""
    decisions = part.config.get("decisions")
    return dict(decisions) if isinstance(decisions, dict) else {}


def _scores(part: Part) -> dict[str, Any]:
    """Return the test scores that emo-train wrote next to the weights, without details."""
    try:
        metrics = json.loads((part.directory / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    tests = metrics.get("test") if isinstance(metrics, dict) else None
    if not isinstance(tests, dict):
        return {}
    kept = ("rows", "macro_f1", "accuracy")
    return {
        name: {key: found[key] for key in kept if key in found}
        for name, found in tests.items()
        if isinstance(found, dict)
    }


def _version(distribution: str) -> str:
    if distribution == "emo-runtime":
        return __version__
    return version(distribution)


def _file(contents: BundleFiles, name: str) -> File:
    data = contents.files[name]
    return File(file=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
