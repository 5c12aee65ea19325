"""Measure the first answer of a fresh process, with and without a warm-up.

python -m studies.first_answer [--bundle BUNDLE] [--rounds 10]

Each round starts two processes. One opens the bundle and answers; the result of the self-test is
cached, as for every process but the first. The other opens the bundle with ``warm=True``, and its
first answer is compared with the median of the next fifty.
"""

import argparse
import json
import statistics
import subprocess
import sys

_PROCESS = """
import json, resource, statistics, sys, time
start = time.perf_counter()
from emo_runtime import EmotionRecognizer
imported = time.perf_counter()
bundle, warm = json.loads(sys.argv[1])
text = "Buenas tardes, le llamo porque llevo varios días esperando una respuesta de ustedes."
recognizer = EmotionRecognizer.open(bundle, warm=warm)
opened = time.perf_counter()
def answer():
    begun = time.perf_counter()
    recognizer.recognize(text)
    return 1e3 * (time.perf_counter() - begun)
first = answer()
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({
    "import ms": 1e3 * (imported - start),
    "open ms": 1e3 * (opened - imported),
    "first answer ms": first,
    "open and first answer ms": 1e3 * (done - imported),
    "import, open and first answer ms": 1e3 * (done - start),
    "peak memory MB": peak,
    "first answer / median": first / statistics.median(answer() for _ in range(50)),
}))
"""


def main() -> None:
    """Print the median and the range of each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    measure(options.bundle, warm=False)  # cache the result of the self-test and the files
    rounds = [
        {warm: measure(options.bundle, warm=warm) for warm in (False, True)}
        for _ in range(options.rounds)
    ]
    for warm in (False, True):
        print("open(warm=True)" if warm else "open()")
        for name in rounds[0][warm]:
            values = sorted(found[warm][name] for found in rounds)
            print(
                f"  {name:<34} {statistics.median(values):8.2f} [{values[0]:.2f}, {values[-1]:.2f}]"
            )


def measure(bundle: str | None, *, warm: bool) -> dict[str, float]:
    """Return the figures of a fresh process."""
    done = subprocess.run(
        # Through a shell: the reported peak memory of a process starts at that of its parent.
        ["sh", "-c", 'exec "$@"', "sh", sys.executable, "-c", _PROCESS, json.dumps([bundle, warm])],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
