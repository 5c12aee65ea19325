"""The export pipeline: load, check, graph, optimize, calibrate, quantize, verify, package."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import onnx

from emo_export.checkpoints.load import Checkpoints, load
from emo_export.checkpoints.tokenizer import check_tokenizer
from emo_export.checkpoints.validate import check, front_end_of
from emo_export.evaluation.calibrate import Calibration, calibrate
from emo_export.evaluation.evaluator import Evaluator
from emo_export.evaluation.gate import require
from emo_export.evaluation.latency import speed
from emo_export.evaluation.rows import (
    Evaluation,
    read_rows,
    refuse_leak,
    shipped_clips,
    shipped_sentences,
    split_quantization_rows,
)
from emo_export.onnx_graph import size_bytes
from emo_export.options import Options
from emo_export.packaging.bundle import bundle_files
from emo_export.packaging.golden import golden_cases
from emo_export.packaging.opening import check_bundle
from emo_export.packaging.target import check_target
from emo_export.packaging.writer import package
from emo_export.quantization.mixed_precision import Int8, choose_int8
from emo_export.quantization.static import require_nncf
from emo_export.quantization.variants import (
    Optimized,
    Variants,
    complete_sets,
    optimize,
    static_variant,
    variant,
)
from emo_export.report import Findings, Report, Step
from emo_export.torch_export import graph
from emo_export.triton.repository import check_repository, repository_files
from emo_runtime.bundle.manifest import Precision
from emo_runtime.errors import EmoError


def export(options: Options, done: Callable[[Step], None] = lambda _: None) -> Report:
    """Export a bundle or another target; ``done`` is called after each step.

    Raises:
        GateError: the loss exceeds the gate; nothing is written.
        EmoError: an input is invalid, or the output can't be written.
    """
    run = _Run(done)
    check_target(options.output, force=options.force)
    if "int8-qdq" in options.precisions:
        require_nncf()
    with run("load"):
        checkpoints = load(options.sources)
        with_text = checkpoints.text is not None or checkpoints.fusion is not None
        evaluation, calibration_rows, fitted = _rows(options, with_text=with_text)
    with run("check"):
        check(checkpoints)
        if checkpoints.speech is not None and "int8-qdq" in options.precisions:
            raise EmoError(
                "--precision int8-qdq is for bundles without a speech graph: its ranges are fitted "
                "to transcripts only. Leave it out, and give --precision fp32 for OpenVINO's "
                "provider."
            )
        _check_labels(checkpoints, evaluation, calibration_rows)
        for part in filter(None, {checkpoints.text, checkpoints.encoder}):
            check_tokenizer(part, part.bundle_tokenizer, evaluation.texts)
        front_end = front_end_of(checkpoints)
    with run("graph") as sizes:
        graphs = graph(checkpoints)
        sizes.update(graphs)
    sizes.clear()
    with run("optimize") as sizes:
        optimized = optimize(graphs, checkpoints, options.precisions)
        del graphs
        sizes.update(optimized.graphs)
    calibrations: tuple[Calibration, ...] = ()
    with run("calibrate"):
        if calibration_rows is not None:
            checkpoints, calibrations = calibrate(checkpoints, calibration_rows, front_end)
    with run("reference"):
        evaluator = Evaluator.of(checkpoints, evaluation, front_end)
    with run("quantize") as sizes:
        variants, int8 = _variants(optimized, evaluator, options, fitted)
        sizes.update({name: next(iter(items.values())) for name, items in variants.items()})
    with run("verify"):
        sets = complete_sets(variants)
        found = {precision: evaluator.ask(chosen) for precision, chosen in sets.items()}
        comparisons = tuple(
            item for precision in sets for item in evaluator.compare(precision, found[precision])
        )
        require(comparisons, options.gate, evaluated=evaluator.evaluated, tried=int8.describe())
        speeds = speed(checkpoints, _rivals(variants, int8), evaluation.texts)
    with run("package"):
        golden = golden_cases(
            checkpoints,
            evaluation.texts,
            evaluator.expected,
            list(found.values()),
            front_end=front_end,
            answer=lambda inputs: [evaluator.try_out(inputs, chosen) for chosen in sets.values()],
        )
        findings = Findings(
            evaluated=evaluator.evaluated,
            comparisons=comparisons,
            golden=golden,
            gate=options.gate,
            kept={name: kept for name, kept in int8.kept.items() if kept},
            word_tables=int8.word_tables,
            tried=int8.describe(),
            scaled=int8.scaled,
            reference=checkpoints.reference,
            calibrations=calibrations,
            fitted=None if fitted is None else f"{fitted.name} ({len(fitted.rows)} rows)",
        )
        files = bundle_files(checkpoints, variants, findings, options.identity)
        look = check_bundle
        if options.target == "triton":
            files, look = repository_files(files), check_repository
        package(files, options.output, force=options.force, check=look)
    return Report(
        output=str(options.output),
        tasks=evaluator.tasks,
        files={name: len(data) for name, data in files.items()},
        findings=findings,
        products=int8.products,
        speeds=speeds,
        steps=tuple(run.steps),
    )


class _Run:
    """Measures the time of each step, and the total size of the graphs that it yields."""

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


def _rows(
    options: Options, *, with_text: bool
) -> tuple[Evaluation, Evaluation | None, Evaluation | None]:
    """Return the rows for the evaluation, for the temperatures, and for int8-qdq."""
    if options.evaluate is not None:
        evaluation = read_rows(options.evaluate, options.layout, with_text=with_text)
    else:
        evaluation = shipped_sentences() if with_text else shipped_clips()
    fitted = None
    if "int8-qdq" in options.precisions:
        evaluation, fitted = split_quantization_rows(evaluation)
    if options.calibrate is None:
        return evaluation, None, fitted
    calibration = read_rows(options.calibrate, options.layout, with_text=with_text)
    refuse_leak(evaluation, calibration)
    return evaluation, calibration, fitted


def _check_labels(
    checkpoints: Checkpoints, evaluation: Evaluation, calibration: Evaluation | None
) -> None:
    """Refuse rows with unknown labels before the steps that take minutes."""
    task = checkpoints.tasks[0]
    multi_label = checkpoints.activation(task) == "sigmoid"
    evaluation.targets(checkpoints.labels, multi_label=multi_label)
    if calibration is None:
        return
    if calibration.targets(checkpoints.labels, multi_label=multi_label) is None:
        known = ", ".join(checkpoints.labels)
        raise EmoError(
            f"{calibration.name} (--calibrate): every row needs one of the labels: {known}."
        )


def _variants(
    optimized: Optimized, evaluator: Evaluator, options: Options, fitted: Evaluation | None
) -> tuple[Variants, Int8]:
    """Return every graph in the requested precisions; the fusion network in float32."""
    int8 = Int8({})
    if "int8" in options.precisions:
        int8 = choose_int8(optimized, evaluator, options.gate)
    variants: Variants = {}
    for name in optimized.graphs:
        wanted: tuple[Precision, ...] = ("fp32",) if name == "fusion" else options.precisions
        variants[name] = {}
        for precision in wanted:
            if precision == "int8":
                made = int8.graphs[name]
            elif precision == "int8-qdq" and fitted is not None:
                made = static_variant(optimized, evaluator.checkpoints, name, fitted.texts)
            else:
                made = variant(optimized, name, precision)
            variants[name][precision] = made
    return variants, int8


def _rivals(variants: Variants, int8: Int8) -> Mapping[str, Mapping[str, onnx.ModelProto]]:
    """Return the graphs to time: the variants and, for a repaired int8 graph, the unrepaired one.

    int8-qdq is left out: it is for another provider.
    """
    rivals: dict[str, dict[str, onnx.ModelProto]] = {}
    for name, items in variants.items():
        rivals[name] = {
            str(precision): model for precision, model in items.items() if precision != "int8-qdq"
        }
        if name in int8.unrepaired:
            rivals[name]["int8 without repair"] = int8.unrepaired[name]
    return rivals
