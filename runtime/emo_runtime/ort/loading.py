"""Sessions for a bundle's graphs: choice of variant and provider, check of the interface."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emo_runtime.bundle.front_ends import (
    FrontEndSettings,
    KaldiFbankSettings,
    LogMelSettings,
    MeanMfccSettings,
    WaveformSettings,
)
from emo_runtime.bundle.manifest import Graph, Manifest, Precision, TaskName
from emo_runtime.bundle.onnx_check import FLOAT, INT64, GraphInfo, TensorInfo, check_graph
from emo_runtime.bundle.reader import Bundle
from emo_runtime.errors import BundleError, ProviderError
from emo_runtime.ort.providers import CPU, Provider, choose_providers, precisions_for
from emo_runtime.ort.session import OrtSession, SessionConfig, load_onnxruntime

_ANY = None
logger = logging.getLogger("emo_runtime")


@dataclass(frozen=True)
class LoadOptions:
    """Options of ``EmotionRecognizer.open`` that concern the sessions.

    ``variant`` is the required precision of all graphs except fusion graphs.
    """

    provider: str | tuple[str, ...]
    threads: int
    spin: bool
    huge_pages: bool
    fallback: bool
    variant: Precision | None


def load_graphs(
    bundle: Bundle, tasks: Iterable[TaskName], options: LoadOptions
) -> dict[str, OrtSession]:
    """Return a session for each graph that the tasks use. Raises BundleError, ProviderError."""
    needed = sorted({name for task in tasks for name in bundle.manifest.graphs_of(task)})
    candidates = _candidates(options)
    for provider in candidates[:-1]:
        try:
            return _load_on(bundle, needed, provider, options)
        except ProviderError as error:
            logger.warning("%s Trying the next provider.", error)
    return _load_on(bundle, needed, candidates[-1], options)


def _candidates(options: LoadOptions) -> list[Provider]:
    """Return the providers to try, in order; "auto" and ``fallback`` end with the CPU."""
    try:
        found = choose_providers(options.provider, load_onnxruntime())
    except ProviderError as error:
        if not options.fallback:
            raise
        logger.warning("%s Using the CPU.", error)
        return [Provider(CPU)]
    return [*found, Provider(CPU)] if options.fallback and found[-1].name != CPU else found


def _load_on(
    bundle: Bundle, names: Sequence[str], provider: Provider, options: LoadOptions
) -> dict[str, OrtSession]:
    sessions = {}
    for name in names:
        graph = bundle.manifest.graphs[name]
        # The fusion network takes microseconds. Further threads would spin for tens of
        # milliseconds after each answer, on the cores that the next text pass needs.
        threads = 1 if graph.kind == "fusion" else options.threads
        config = SessionConfig(provider, threads, spin=options.spin, huge_pages=options.huge_pages)
        precision = _choose_variant(name, graph, provider.name, options.variant)
        with bundle.verified(graph.variants[precision]) as file:
            _check_interface(file.name, check_graph(file.data, file.name), graph, bundle.manifest)
            sessions[name] = OrtSession(file, precision, config)
    return sessions


def _choose_variant(name: str, graph: Graph, provider: str, wanted: Precision | None) -> Precision:
    allowed = precisions_for(provider)
    if wanted is not None and (wanted in graph.variants or graph.kind != "fusion"):
        if wanted not in graph.variants:
            raise BundleError(
                f"graph {name!r} has no variant {wanted!r} (it has: {', '.join(graph.variants)}). "
                "Use one of these, or export the bundle with it."
            )
        if wanted not in allowed:
            raise ProviderError(_int8_on_gpu(name, provider))
        return wanted
    for precision in allowed:
        if precision in graph.variants:
            return precision
    raise ProviderError(_int8_on_gpu(name, provider))


def _int8_on_gpu(name: str, provider: str) -> str:
    return (
        f"graph {name!r}: int8 is not used on {provider}, where it is slower than fp16. Export the "
        "bundle with --precision fp16, or use providers='cpu'."
    )


def _check_interface(file: str, found: GraphInfo, graph: Graph, manifest: Manifest) -> None:
    widths = {"logits": len(manifest.labels), "embedding": graph.width}
    inputs = _inputs(graph, manifest.audio)
    outputs = {name: TensorInfo(FLOAT, (_ANY, widths[name])) for name in graph.outputs}
    for kind, expected, actual in (
        ("input", inputs, found.inputs),
        ("output", outputs, found.outputs),
    ):
        if expected.keys() != actual.keys():
            raise BundleError(
                f"{file}: its {kind}s are {sorted(actual)}, expected {sorted(expected)}. The file "
                "belongs to another bundle: export again."
            )
        for name, tensor in expected.items():
            if not _fits(tensor, actual[name]):
                raise BundleError(
                    f"{file}: its {kind} {name!r} is {actual[name]}, expected {tensor}. Labels, "
                    "sizes and graph must belong together: export again."
                )


def _inputs(graph: Graph, front_end: FrontEndSettings | None) -> dict[str, TensorInfo]:
    """Return the inputs that a graph of this kind must have."""
    if graph.kind in {"text", "encoder"}:
        ids = TensorInfo(INT64, (_ANY, _ANY))
        return {"input_ids": ids, "attention_mask": ids}
    if graph.kind == "speech":
        if isinstance(front_end, WaveformSettings):
            return {"samples": TensorInfo(FLOAT, (_ANY, _ANY))}
        return {"features": TensorInfo(FLOAT, _feature_shape(front_end))}
    inputs = {
        "audio": TensorInfo(FLOAT, (_ANY, graph.audio_width)),
        "text": TensorInfo(FLOAT, (_ANY, graph.text_width)),
    }
    if graph.present_input:
        inputs["present"] = TensorInfo(FLOAT, (_ANY, 2))
    return inputs


def _feature_shape(front_end: FrontEndSettings | None) -> tuple[int | None, ...]:
    """Return the shape [batch, ...] of a front end's features."""
    if isinstance(front_end, MeanMfccSettings):
        return (_ANY, front_end.n_mfcc)
    if isinstance(front_end, LogMelSettings):
        return (_ANY, front_end.n_mels, _ANY)
    if isinstance(front_end, KaldiFbankSettings):
        return (_ANY, _ANY, front_end.stack * front_end.n_mels)
    return (_ANY, _ANY)


def _fits(expected: TensorInfo, actual: TensorInfo) -> bool:
    return (
        expected.element_type == actual.element_type
        and len(expected.dimensions) == len(actual.dimensions)
        and all(
            want is None or have is None or want == have
            for want, have in zip(expected.dimensions, actual.dimensions, strict=True)
        )
    )
