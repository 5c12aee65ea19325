"""Measure the speed of the mean MFCCs of a clip, relative to a warm call of librosa.

python -m studies.mfcc_vs_librosa [--seconds 5] [--rounds 15] [--calls 40]

Each engine runs in its own process; rounds alternate, so that machine drift favours none.
"""

import argparse
import statistics
import subprocess
import sys

SAMPLE_RATE = 22_050
N_MFCC = 128

_SETUP = f"""
import sys, time
import numpy as np
samples = np.random.default_rng(0).normal(0, 0.1, int(float(sys.argv[1]) * {SAMPLE_RATE}))
samples = samples.astype(np.float32)
"""
_LOOP = """
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter()
        result = mean_mfcc(samples)
        times.append(time.perf_counter() - start)
    print(1e3 * sorted(times)[len(times) // 2], float(result[1]), flush=True)
"""
ENGINES = {
    "emo_runtime": f"""
from emo_runtime.bundle.front_ends import MeanMfccSettings
from emo_runtime.audio.mfcc import MeanMfcc
mean_mfcc = MeanMfcc(MeanMfccSettings(n_mfcc={N_MFCC}))
""",
    "librosa": f"""
import librosa
def mean_mfcc(samples):
    return librosa.feature.mfcc(y=samples, sr={SAMPLE_RATE}, n_mfcc={N_MFCC}).mean(axis=1)
""",
}


def main() -> None:
    """Print the milliseconds of both, and their ratio with its range over the rounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=40)
    options = parser.parse_args()
    processes = {name: start(code, options.seconds) for name, code in ENGINES.items()}
    medians: dict[str, list[float]] = {name: [] for name in ENGINES}
    values = {}
    for _ in range(options.rounds + 1):
        for name, process in processes.items():
            milliseconds, values[name] = ask(process, options.calls)
            medians[name].append(milliseconds)
    for process in processes.values():
        process.communicate()
    if abs(values["emo_runtime"] - values["librosa"]) > 1e-3:
        raise SystemExit(f"the results differ: {values}")
    # The first round was the warm-up.
    ours, theirs = (medians[name][1:] for name in ENGINES)
    ratios = sorted(slow / fast for fast, slow in zip(ours, theirs, strict=True))
    print(f"mean MFCC ({N_MFCC}) of {options.seconds:g} s at {SAMPLE_RATE:,} Hz, median per round")
    for name, times in (("emo_runtime", ours), ("librosa", theirs)):
        print(f"{name:<12} {statistics.median(times):7.3f} ms [{min(times):.3f}, {max(times):.3f}]")
    print(
        f"librosa / emo_runtime: {statistics.median(ratios):.2f} [{ratios[0]:.2f}, "
        f"{ratios[-1]:.2f}] over {len(ratios)} rounds"
    )


def start(code: str, seconds: float) -> "subprocess.Popen[str]":
    """Start a process that reads the number of calls to time."""
    return subprocess.Popen(
        [sys.executable, "-c", _SETUP + code + _LOOP, str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: "subprocess.Popen[str]", calls: int) -> tuple[float, float]:
    """Return the median of ``calls`` calls in milliseconds, and a coefficient to compare."""
    if process.stdin is None or process.stdout is None:
        raise SystemExit("no pipes")
    process.stdin.write(f"{calls}\n")
    process.stdin.flush()
    milliseconds, value = process.stdout.readline().split()
    return float(milliseconds), float(value)


if __name__ == "__main__":
    main()
