"""Compare how many transcripts a second engines answer when all rows are known in advance.

python -m studies.batch_throughput --bundle BUNDLE --checkpoint FOLDER [--rows 320] [--rounds 5]
    [--threads 2] [--batch 32] [--peers pytorch-fp32 pytorch-int8 onnxruntime-fp32 optimum-int8]

emo-runtime answers each row alone (``recognize_batch``), so that an answer does not depend on its
neighbours. The rivals get their best case: token ids made beforehand, rows sorted by length and
padded in batches. Each engine runs in its own process; rounds are interleaved. FOLDER is the
checkpoint from which the bundle was exported and contains text/.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from emo_bench.workload import synthetic
from emo_runtime import EmotionRecognizer, Utterance

PAUSE_S = 0.3
PEERS = ("pytorch-fp32", "pytorch-int8", "onnxruntime-fp32", "optimum-int8")
OURS = "emo"


def main() -> None:
    """Print rows per second of each engine and the ratio to emo-runtime."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    engines: dict[str, tuple[Any, Connection]] = {}
    for name in (OURS, *options.peers):
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=serve, args=(name, options, theirs), daemon=True)
        process.start()
        ours.recv()  # it is warm
        engines[name] = process, ours
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(options.rounds):
        for name, (_, connection) in engines.items():
            time.sleep(PAUSE_S)
            connection.send(None)
            rates[name].append(connection.recv())
    for name, found in rates.items():
        ratios = sorted(a / b for a, b in zip(rates[OURS], found, strict=True))
        print(
            f"{name:<18} {statistics.median(found):7.1f} rows/s   emo / it "
            f"{statistics.median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}]"
        )
    for process, _ in engines.values():
        process.terminate()


def serve(name: str, options: argparse.Namespace, connection: Connection) -> None:
    """Measure one pass over all rows for each message."""
    answer_all = (open_ours if name == OURS else open_rival)(name, options)
    answer_all()
    connection.send(None)
    while True:
        connection.recv()
        begun = time.perf_counter()
        answer_all()
        connection.send(options.rows / (time.perf_counter() - begun))


def transcripts(rows: int) -> list[str]:
    """Return transcripts of Spanish words with the lengths of real ones, in random order."""
    return [sample.text for sample in synthetic(rows, 0, with_audio=False)]


def open_ours(_name: str, options: argparse.Namespace) -> Callable[[], object]:
    """Open the bundle. Tokenizing is within the measured time."""
    recognizer = EmotionRecognizer.open(
        options.bundle, threads=options.threads, mode="throughput", warm=True
    )
    rows = [Utterance(text=text) for text in transcripts(options.rows)]
    return lambda: recognizer.recognize_batch(rows)


def open_rival(name: str, options: argparse.Namespace) -> Callable[[], object]:
    """Open a rival. Rows are tokenized beforehand, sorted by length and padded in batches."""
    # Imported in the rival's process only: PyTorch would take memory in the others.
    from transformers import AutoTokenizer

    from emo_bench.engines import onnxruntime, pytorch

    library, precision = name.split("-")
    module = pytorch if library == "pytorch" else onnxruntime
    engine = module.open_engine(
        checkpoint=str(options.checkpoint),
        precision=precision,
        threads=options.threads,
        serving=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(options.checkpoint / "text")
    texts = sorted(transcripts(options.rows), key=lambda text: len(tokenizer(text)["input_ids"]))
    batches = [
        tokenizer(texts[first : first + options.batch], padding=True, return_tensors="np")
        for first in range(0, len(texts), options.batch)
    ]
    return lambda: [
        engine.network(batch["input_ids"], batch["attention_mask"]) for batch in batches
    ]


if __name__ == "__main__":
    main()
