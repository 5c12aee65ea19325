"""Compare OpenVINO's provider on `int8-qdq` with OpenVINO itself at BETO size.

The engines need separate installations, because `onnxruntime-openvino` and `onnxruntime` install
the same module. Each runs in its own process with the given Python, in interleaved rounds:

    python -m studies.beto_size CHECKPOINT
    python -m studies.openvino_provider make FOLDER --checkpoint CHECKPOINT/text
    python -m studies.openvino_provider run FOLDER --openvino PYTHON --provider PYTHON

`make` (needs emo-runtime[peers]) writes the checkpoint's bundle (int8 and int8-qdq), and an
OpenVINO model of the same checkpoint, quantized to int8 by NNCF. `run` prints milliseconds and
ratios.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ENGINES = {
    "openvino": "OpenVINO itself, NNCF int8",
    "provider": "bundle, OpenVINO's provider, int8-qdq",
    "cpu": "bundle, CPU provider, int8",
}
THREADS = 2
PAUSE_S = 0.1  # idle threads of ONNX Runtime spin for a while


def main() -> None:
    """Make the models, measure them, or run as one of the measured processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("action", choices=["make", "run", "worker"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--openvino", default=sys.executable, help="Python with openvino.")
    parser.add_argument("--provider", default=sys.executable, help="... onnxruntime-openvino.")
    parser.add_argument("--cpu", default=sys.executable, help="... onnxruntime.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=40, help="Of each engine, in each round.")
    parser.add_argument("--tokens", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--checkpoint", type=Path, help="The text checkpoint of `make`.")
    parser.add_argument("--engine", choices=list(ENGINES), help="Of a worker.")
    options = parser.parse_args()
    if options.action == "make":
        make(options.folder, options.checkpoint)
    elif options.action == "worker":
        work(options.engine, options.folder)
    else:
        run(options)


def make(folder: Path, checkpoint: Path) -> None:
    """Write the bundle of a text checkpoint, and OpenVINO's int8 model of it."""
    os.environ["NNCF_CI"] = "1"  # disable its telemetry
    from emo_export.options import Gate, Identity, Options, Sources
    from emo_export.pipeline import export

    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        sources=Sources(text=str(checkpoint)),
        output=folder / "bundle",
        identity=Identity("beto-size", "1.0", "Apache-2.0", "Random weights."),
        precisions=("int8", "int8-qdq"),
        force=True,
        gate=Gate(enforced=False),
    )
    report = export(options, lambda step: print(f"{step.name}: {step.duration_s:.0f} s"))
    for item in report.findings.comparisons:
        print(f"{item.precision}: label agreement {item.agreement:.4f}")
    _quantize_by_openvino(folder, checkpoint)


def _quantize_by_openvino(folder: Path, checkpoint: Path) -> None:
    """Quantize the exported graph with NNCF's defaults for transformers."""
    import nncf
    import onnx
    import openvino

    from emo_export.checkpoints.load import load, token_ids
    from emo_export.evaluation.rows import shipped_sentences, split_quantization_rows
    from emo_export.options import Sources
    from emo_export.torch_export import graph

    checkpoints = load(Sources(text=str(checkpoint)))
    onnx.save(graph(checkpoints)["text"], folder / "plain.onnx")
    _, fitted = split_quantization_rows(shipped_sentences())
    if checkpoints.text is None:
        raise SystemExit(f"{checkpoint}: not a text classifier.")
    rows = token_ids(checkpoints.text, fitted.texts, strip=False)
    batches = [{"input_ids": row[None], "attention_mask": np.ones_like(row)[None]} for row in rows]
    model = nncf.quantize(
        openvino.Core().read_model(str(folder / "plain.onnx")),
        nncf.Dataset(batches),
        model_type=nncf.ModelType.TRANSFORMER,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(batches),
    )
    openvino.save_model(model, str(folder / "openvino.xml"), compress_to_fp16=False)


def run(options: argparse.Namespace) -> None:
    """Measure the engines in interleaved rounds; only one computes at any time."""
    workers = {name: _worker(getattr(options, name), name, options.folder) for name in ENGINES}
    medians: dict[tuple[str, int], list[float]] = {}
    for number in range(options.rounds + 1):
        for tokens in options.tokens:
            for name, ask in workers.items():
                time.sleep(PAUSE_S)
                took = ask(tokens, options.calls)
                if number:  # the first round is the warm-up
                    medians.setdefault((name, tokens), []).append(took)
    for tokens in options.tokens:
        base = np.array(medians["openvino", tokens])
        for name, title in ENGINES.items():
            own = np.array(medians[name, tokens])
            ratio = own / base
            print(
                f"{tokens:3d} tokens  {title:40s} {np.median(own):7.2f} ms  "
                f"x {np.median(ratio):.3f} [{ratio.min():.3f}, {ratio.max():.3f}]"
            )
            print(f"            per round: {' '.join(f'{value:.2f}' for value in ratio)}")


def _worker(python: str, engine: str, folder: Path) -> Callable[[int, int], float]:
    """Start a process. Return a function that gives the median of a round in milliseconds."""
    process = subprocess.Popen(
        [python, __file__, "worker", str(folder), "--engine", engine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(tokens: int, calls: int) -> float:
        if process.stdin is None or process.stdout is None:
            raise SystemExit(f"{engine}: no pipes")
        print(tokens, calls, file=process.stdin, flush=True)
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"{engine}: its process exited with code {process.wait()}")
        return float(np.median(json.loads(line)))

    return ask


def work(engine: str, folder: Path) -> None:
    """Answer each input line "tokens calls" with the times of the calls in milliseconds."""
    random = np.random.default_rng(0)
    answer = _openvino(folder) if engine == "openvino" else _bundle(folder, engine)
    for line in sys.stdin:
        tokens, calls = map(int, line.split())
        times = []
        for _ in range(calls + 3):
            ids = random.integers(5, 3000, (1, tokens))
            start = time.perf_counter()
            answer({"input_ids": ids, "attention_mask": np.ones_like(ids)})
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times[3:]), flush=True)


def _openvino(folder: Path) -> Callable[[dict[str, Any]], object]:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(str(folder / "openvino.xml"), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda feeds: np.array(request.infer(feeds)["logits"])


def _bundle(folder: Path, engine: str) -> Callable[[dict[str, Any]], object]:
    """Load the text graph as the runtime does; exit with an error unless the provider attaches."""
    from emo_runtime.bundle.reader import open_bundle
    from emo_runtime.ort.loading import LoadOptions, load_graphs

    plugged = engine == "provider"
    options = LoadOptions(
        "openvino" if plugged else "cpu",
        THREADS,
        spin=True,
        fallback=False,
        variant="int8-qdq" if plugged else "int8",
        huge_pages=True,
    )
    session = load_graphs(open_bundle(folder / "bundle"), ("text",), options)["text"]
    print(f"{engine}: nodes by provider {session.nodes or session.providers}", file=sys.stderr)
    return lambda feeds: session.run(["logits"], feeds)[0]


if __name__ == "__main__":
    main()
