"""Compare the text network with its rivals at several token lengths, in interleaved rounds.

python -m studies.by_length --bundle BUNDLE --checkpoint FOLDER [--tokens 8 16 32 64]
    [--rounds 10] [--passes 5] [--threads 2] [--engines emo pytorch-fp32 ...]

Each engine runs in its own process, in turn (A B C A B C ...). Only the network is timed, from
token ids to logits, in passes over 8 sentences. The result is the ratio of the median passes within
a round, so that machine drift favours no engine. FOLDER is the checkpoint from which the bundle was
exported and contains text/. A rival that is not installed is reported as not measured.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from emo_bench.engines.registry import OURS, RIVALS
from emo_bench.runner.client import WorkerFailedError, WorkerProcess
from emo_bench.worker.protocol import CostsResult, Done, MeasureCosts, WarmUp
from emo_bench.workload import Workload

WARM_UP = 20
SAMPLES = 8
# Idle threads spin for a while: wait until those of the previous engine sleep.
PAUSE_S = 0.3


def main() -> None:
    """Print a table of ratios for each length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokens", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", default=[OURS, *RIVALS])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {
            count: write_texts(Path(folder, f"{count}.txt"), options.checkpoint / "text", count)
            for count in options.tokens
        }
        engines = [OURS, *(name for name in options.engines if name != OURS)]
        for count, file in files.items():
            measure(count, file, engines, options)


def measure(count: int, file: Path, engines: Sequence[str], options: argparse.Namespace) -> None:
    """Measure all engines at one length."""
    workload = Workload(texts=str(file))
    workers: dict[str, WorkerProcess] = {}
    try:
        for name in engines:
            own = {"bundle": str(options.bundle.resolve())}
            rival = {"checkpoint": str(options.checkpoint.resolve())}
            settings = {"threads": options.threads, "serving": False}
            try:
                workers[name] = WorkerProcess(
                    name,
                    (own if name == OURS else rival) | settings,
                    workload,
                    options.threads,
                )
                workers[name].ask(WarmUp(WARM_UP), Done)
            except WorkerFailedError as error:
                workers.pop(name, None)
                print(f"{count:>4} tokens  {name:<20} not measured: {error}", flush=True)
        medians: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                time.sleep(PAUSE_S)
                worker.ask(MeasureCosts(SAMPLES), CostsResult)
                passes = [
                    worker.ask(MeasureCosts(SAMPLES), CostsResult) for _ in range(options.passes)
                ]
                medians[name].append(statistics.median(it.phases_ms["text"] for it in passes))
        for name, times in medians.items():
            ratios = sorted(ours / its for ours, its in zip(medians[OURS], times, strict=True))
            print(
                f"{count:>4} tokens  {name:<20} {statistics.median(times):8.2f} ms   emo / it "
                f"{statistics.median(ratios):.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}]",
                flush=True,
            )
    finally:
        for worker in workers.values():
            worker.close()


def write_texts(path: Path, checkpoint: Path, count: int) -> Path:
    """Write lines of exactly ``count`` tokens, [CLS] and [SEP] included, of one-token words."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    words = [word for word in sorted(tokenizer.get_vocab()) if word.isalpha() and len(word) > 3]
    single = [
        word for word in words[:: max(1, len(words) // 4000)] if len(tokenizer.tokenize(word)) == 1
    ]
    lines = [
        " ".join(single[(number * 31 + place * 7) % len(single)] for place in range(count - 2))
        for number in range(SAMPLES)
    ]
    for line in lines:
        if len(tokenizer(line)["input_ids"]) != count:
            raise SystemExit(f"{line!r} does not have {count} tokens")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
