"""A fresh process to its first answer: ``python -m emo_bench.worker.cold_start REQUEST`` (JSON).

Prints the milliseconds of each step. Imports nothing before the clock runs that an integrator's
program would not import either.
"""

import itertools
import json
import sys
import time


def main() -> None:
    """Import, open (hash, check, load, self-test if it is not remembered) and answer once."""
    request = json.loads(sys.argv[1])
    # The interpreter's own start: the monotonic clock of the two processes is one and the same.
    start_ms = (time.monotonic() - request["started"]) * 1e3
    marks = [time.perf_counter()]
    from emo_runtime import EmotionRecognizer

    marks.append(time.perf_counter())
    recognizer = EmotionRecognizer.open(request["bundle"], threads=request["threads"])
    marks.append(time.perf_counter())
    recognizer.recognize(request["text"], request["audio"])
    marks.append(time.perf_counter())
    steps = [(after - before) * 1e3 for before, after in itertools.pairwise(marks)]
    names = ("start", "import", "open", "first_answer")
    found = dict(zip(names, [start_ms, *steps], strict=True))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
