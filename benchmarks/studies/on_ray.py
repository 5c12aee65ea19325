"""Measure Ray on this machine: replicas killed under load, and rows per second.

    python -m studies.on_ray kill [--what recognizer|front] [--seconds 30]
    python -m studies.on_ray rows [--rows 20000]
    python -m studies.on_ray workers [--rows 4000 --rounds 3]

* "kill": closed loops call emo-serve --ray while a replica is killed (-9) every 5 s. Every answer
  is compared with the library's.
* "rows": emo-predict --ray answers ROWS utterances, and a worker is killed halfway. Rows and
  answers are compared with a single process.
* "workers": rows per second of the job with 1 and 2 workers in turn, from the first written file to
  the last.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pyarrow.parquet as pq

from emo_runtime import EmotionRecognizer, Utterance
from emo_serving.batch.job import BLOCK_ROWS
from studies.processes import ray_folder, ray_processes

CLIP = Path(__file__).resolve().parents[2] / "examples" / "clips" / "queja.flac"
TEXT = "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"
CALLERS = 8
KILL_EVERY_S = 5.0


def kill_replicas(what: str, seconds: float) -> None:
    """Print statuses and latencies while replicas are killed."""
    body = {"text": TEXT, "audio": base64.b64encode(CLIP.read_bytes()).decode()}
    with EmotionRecognizer.open(mode="throughput") as recognizer:
        expected = recognizer.recognize(TEXT, CLIP.read_bytes()).scores
    seen: Counter[str] = Counter()
    latencies_ms = []
    with ray_folder() as folder, _served(folder) as url:
        end = time.perf_counter() + seconds

        def call() -> None:
            with httpx.Client(timeout=60) as client:
                while (begun := time.perf_counter()) < end:
                    try:
                        reply = client.post(f"{url}v1/recognize", json=body)
                        right = reply.status_code == 200 and reply.json()["scores"] == expected
                        seen["right" if right else str(reply.status_code)] += 1
                    except httpx.TransportError as error:
                        seen[type(error).__name__] += 1
                    latencies_ms.append((time.perf_counter() - begun) * 1e3)

        with ThreadPoolExecutor(CALLERS) as pool:
            for _ in range(CALLERS):
                pool.submit(call)
            kills = 0
            while time.perf_counter() + KILL_EVERY_S < end:
                time.sleep(KILL_EVERY_S)
                for victim in ray_processes(folder, f"ray::ServeReplica:emo:{what}")[:1]:
                    os.kill(victim, signal.SIGKILL)
                    kills += 1
    p50, top = statistics.median(latencies_ms), max(latencies_ms)
    print(
        f"{kills} kills of a {what} in {seconds:g} s: {dict(seen)}; p50 {p50:.0f}, max {top:.0f} ms"
    )


def all_rows(rows: int) -> None:
    """Compare rows and answers with a single process, after a worker was killed halfway."""
    with ray_folder() as folder:
        source, output = _source(folder, rows), folder / "answers"
        begun = time.perf_counter()
        job = _job(folder, source, output, 2)
        while len(list(output.glob("*.parquet"))) < rows / BLOCK_ROWS / 2:
            time.sleep(0.1)
        victim = ray_processes(folder, "ray::MapWorker(MapBatches(BatchWorker))")[0]
        os.kill(victim, signal.SIGKILL)
        _end(job)
        took = time.perf_counter() - begun
        table = pq.read_table(output)
        found = {row["id"]: row for row in table.select(["id", "scores", "error"]).to_pylist()}
        texts = _texts(rows)
        with EmotionRecognizer.open(mode="throughput") as recognizer:
            answers = recognizer.recognize_batch(Utterance(text) for text in texts)
        equal = sum(found[f"c{n}"]["scores"] == answer.scores for n, answer in enumerate(answers))
    print(f"{rows} rows in, {table.num_rows} out ({len(found)} different), a worker killed halfway")
    print(f"equal to the single process: {equal}; {took:.0f} s including start and shutdown of Ray")


def compare_workers(rows: int, rounds: int) -> None:
    """Print rows per second with 1 and 2 workers, in turn."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, found in rates.items():
            with ray_folder() as folder:
                source, output = _source(folder, rows), folder / "answers"
                _end(_job(folder, source, output, workers))
                files = [(path.stat().st_mtime, path) for path in output.glob("*.parquet")]
                first, last = min(files), max(files)
                done = pq.read_table(output).num_rows - pq.read_metadata(first[1]).num_rows
                found.append(done / (last[0] - first[0]))
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    for workers, found in rates.items():
        print(f"{workers}: {', '.join(f'{rate:.0f}' for rate in found)} rows per second")
    print(f"ratio: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "emo_serving.cli", "--ray", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--min-replicas", "2"],
        env=os.environ | {"RAY_TMPDIR": str(folder)},
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = iter(process.stdout or ())
    url = next(line.strip() for line in said if re.match(r"http://\S+\n$", line))
    drain = threading.Thread(target=list, args=(said,))
    drain.start()
    try:
        yield url
    finally:
        process.terminate()
        process.wait()
        drain.join()


def _job(folder: Path, source: Path, output: Path, workers: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "emo_runtime.cli.predict", "--ray", "--workers", str(workers)]
    return subprocess.Popen(
        [*command, "--input", source, "--output", output],
        env=os.environ | {"RAY_TMPDIR": str(folder)},
    )


def _end(job: "subprocess.Popen[bytes]") -> None:
    if job.wait() != 0:
        raise SystemExit("the job failed: see above.")


def _texts(rows: int) -> list[str]:
    return [f"{TEXT} Es la llamada número {number}." for number in range(rows)]


def _source(folder: Path, rows: int) -> Path:
    path = folder / "calls.jsonl"
    records = ({"id": f"c{number}", "text": text} for number, text in enumerate(_texts(rows)))
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def main() -> None:
    """Run a measurement and print its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("measure", choices=["kill", "rows", "workers"])
    parser.add_argument("--what", choices=["recognizer", "front"], default="recognizer")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.measure == "kill":
        kill_replicas(options.what, options.seconds)
    elif options.measure == "rows":
        all_rows(options.rows)
    else:
        compare_workers(options.rows, options.rounds)


if __name__ == "__main__":
    main()
