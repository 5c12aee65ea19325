"""The whole export: load, check, graph, optimize, quantize, verify, package."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from emo_export.check import check
from emo_export.contents import Findings, bundle_files
from emo_export.describe import audio_contract
from emo_export.evaluation import Evaluation, read_rows, shipped_sentences
from emo_export.golden_cases import golden_cases
from emo_export.graph import graph
from emo_export.load import Checkpoints, TextCheckpoint, load
from emo_export.onnx_graph import clean, copy, size_bytes
from emo_export.optimize import optimize_fusion, optimize_text
from emo_export.options import Options
from emo_export.package import check_target, package
from emo_export.quantize import quantize
from emo_export.reference import Answers, reference
from emo_export.speed import Speed, speed
from emo_export.verify import Comparison, compare, verify
from emo_runtime.manifest import Audio, Precision, TaskName

Floats = NDArray[np.float32]
STEPS = ("load", "check", "graph", "optimize", "quantize", "verify", "package")

Variants = dict[str, dict[Precision, onnx.ModelProto]]


@dataclass(frozen=True)
class Step:
    """One step that is done: its seconds, and the bytes of the graphs after it, if any."""

    name: str
    duration_s: float
    size_bytes: int | None = None


@dataclass(frozen=True)
class Report:
    """What an export did and found. ``files`` are the sizes in bytes of the bundle's files."""

    output: str
    tasks: tuple[TaskName, ...]
    files: Mapping[str, int]
    evaluated: str
    comparisons: tuple[Comparison, ...]
    speeds: tuple[Speed, ...]
    steps: tuple[Step, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "output": self.output,
            "tasks": list(self.tasks),
            "files": dict(self.files),
            "size_bytes": sum(self.files.values()),
            "evaluated": self.evaluated,
            "comparisons": [item.as_json() for item in self.comparisons],
            "speed": [item.as_json() for item in self.speeds],
            "steps": [
                {
                    "name": step.name,
                    "duration_s": round(step.duration_s, 3),
                    "size_bytes": step.size_bytes,
                }
                for step in self.steps
            ],
        }


def export(options: Options, done: Callable[[Step], None] = lambda _: None) -> Report:
    """Make a bundle; ``done`` is told of each step as it ends.

    Raises EmoError where an input is refused or the bundle can't be written.
    """
    run = _Run(done)
    check_target(options.output, force=options.force)
    with run("load"):
        checkpoints = load(options.sources)
        evaluation = read_rows(options.evaluate) if options.evaluate else shipped_sentences()
    with run("check"):
        check(checkpoints)
        contract = audio_contract(checkpoints)
    with run("graph") as graphs:
        graphs.update(graph(checkpoints))
    with run("optimize") as optimized:
        optimized.update(_optimize(graphs, checkpoints))
    with run("quantize") as reduced:
        variants = _variants(optimized, options.precisions)
        reduced.update({name: next(iter(items.values())) for name, items in variants.items()})
    with run("verify"):
        found = _verify(checkpoints, variants, evaluation, contract)
        speeds = speed(checkpoints, variants, evaluation.texts)
    with run("package"):
        evaluated = f"{evaluation.name} ({len(evaluation.rows)} rows)"
        golden = golden_cases(
            checkpoints,
            evaluation.texts,
            found.expected,
            list(found.answers.values()),
            contract=contract,
            answer=lambda texts, vectors: [
                verify(chosen, checkpoints, texts, vectors) for chosen in _sets(variants).values()
            ],
        )
        files = bundle_files(
            checkpoints,
            variants,
            Findings(evaluated, found.comparisons, golden),
            options.identity,
        )
        package(files, options.output, force=options.force)
    return Report(
        output=str(options.output),
        tasks=found.tasks,
        files={name: len(data) for name, data in files.items()},
        evaluated=evaluated,
        comparisons=found.comparisons,
        speeds=speeds,
        steps=tuple(run.steps),
    )


class _Run:
    """Times the steps, and sums up the graphs that a step puts into its dictionary."""

    def __init__(self, done: Callable[[Step], None]) -> None:
        self.steps: list[Step] = []
        self._done = done

    @contextmanager
    def __call__(self, name: str) -> Iterator[dict[str, onnx.ModelProto]]:
        graphs: dict[str, onnx.ModelProto] = {}
        start = time.perf_counter()
        yield graphs
        size = sum(size_bytes(model) for model in graphs.values()) if graphs else None
        self.steps.append(Step(name, time.perf_counter() - start, size))
        self._done(self.steps[-1])


def _optimize(
    graphs: Mapping[str, onnx.ModelProto], checkpoints: Checkpoints
) -> dict[str, onnx.ModelProto]:
    owners: dict[str, TextCheckpoint] = {"text": checkpoints.text}
    if checkpoints.encoder is not None:
        owners["encoder"] = checkpoints.encoder
    return {
        name: optimize_fusion(model)
        if name == "fusion"
        else optimize_text(model, heads=owners[name].heads, hidden=owners[name].hidden)
        for name, model in graphs.items()
    }


def _variants(
    optimized: Mapping[str, onnx.ModelProto], precisions: Sequence[Precision]
) -> Variants:
    variants: Variants = {}
    for name, model in optimized.items():
        wanted: Sequence[Precision] = ("fp32",) if name == "fusion" else precisions
        variants[name] = {precision: _variant(model, precision) for precision in wanted}
    return variants


def _variant(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    result = quantize(model) if precision == "int8" else copy(model)
    clean(result)
    return result


@dataclass(frozen=True)
class _Found:
    tasks: tuple[TaskName, ...]
    expected: Answers
    answers: Mapping[Precision, Answers]
    comparisons: tuple[Comparison, ...]


def _verify(
    checkpoints: Checkpoints, variants: Variants, evaluation: Evaluation, contract: Audio | None
) -> _Found:
    mfcc = None if contract is None else evaluation.mfcc(contract)
    expected = reference(checkpoints, evaluation.texts, mfcc)
    answers = {
        precision: verify(chosen, checkpoints, evaluation.texts, mfcc)
        for precision, chosen in _sets(variants).items()
    }
    labels = evaluation.label_ids(checkpoints.text.labels)
    comparisons = []
    tasks: list[TaskName] = ["text"]
    for precision, found in answers.items():
        comparisons.append(
            compare(
                "text",
                precision,
                expected.text,
                found.text,
                temperature=checkpoints.text.temperature,
                label_ids=labels,
            )
        )
        if checkpoints.fusion is None or expected.fusion is None or found.fusion is None:
            continue
        comparisons.append(
            compare(
                "fusion",
                precision,
                expected.fusion,
                found.fusion,
                temperature=checkpoints.fusion.temperature,
            )
        )
    if checkpoints.fusion is not None:
        tasks.append("fusion")
        if checkpoints.fusion.present_input:
            tasks.append("audio")
    return _Found(tuple(tasks), expected, answers, tuple(comparisons))


def _sets(variants: Variants) -> dict[Precision, dict[str, onnx.ModelProto]]:
    """One complete set of graphs for each precision of the text side."""
    return {
        precision: {
            name: items["fp32"] if name == "fusion" else items[precision]
            for name, items in variants.items()
        }
        for precision in variants["text"]
    }
