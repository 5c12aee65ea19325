"""Time to the first answer of this process: ``python -m emo_bench.worker.cold_start REQUEST``.

REQUEST is JSON. Prints the milliseconds of each step. Before the first measured step only modules
of the standard library are imported.
"""

import itertools
import json
import sys
import time


def main() -> None:
    """Import, open (hash, check, load, self-test unless cached) and answer once."""
    request = json.loads(sys.argv[1])
    # Start of the interpreter: the monotonic clock is the same in both processes.
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
