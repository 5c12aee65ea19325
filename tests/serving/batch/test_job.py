"""emo-predict --ray: a row for a row, a bad row is reported, and a stopped job resumes."""

import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from helpers.corpora import SMALL_BUNDLE
from helpers.processes import environment, wait_until
from studies.processes import ray_folder, ray_processes

BLOCK = 256
BLOCKS = 6


@pytest.fixture
def folder():
    with ray_folder() as made:
        yield made


def command(source, output):
    return [
        *(sys.executable, "-m", "emo_runtime.cli.predict", "--ray", "--workers", "2"),
        *("--input", str(source), "--output", str(output), "--bundle", str(SMALL_BUNDLE)),
    ]


def start(folder, source, output):
    variables = environment(RAY_TMPDIR=str(folder))
    return subprocess.Popen(
        command(source, output), env=variables, stderr=subprocess.PIPE, text=True
    )


def answers(output):
    return {row["row"]: row for row in pq.read_table(output).to_pylist()}


def finished(output):
    names = [path.name for path in output.glob("_finished/*.parquet")]
    return [name for name in names if not name.endswith(".pending.parquet")]


def write_lines(path, count):
    rows = [{"id": f"c{n}", "text": f"Llamada {n}, qué alegría."} for n in range(count)]
    lines = [json.dumps(row) for row in rows]
    lines[7] = "{broken"
    path.write_text("\n".join(lines), encoding="utf-8")


def test_a_killed_job_resumes_and_repeats_nothing(folder, tmp_path, recognizer):
    source, output = tmp_path / "calls.jsonl", tmp_path / "answers"
    count = BLOCKS * BLOCK
    write_lines(source, count)
    job = start(folder, source, output)
    while len(finished(output)) < 4:
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.05)
    job.kill()
    job.communicate()
    for left in ray_processes(folder):
        os.kill(left, signal.SIGKILL)
    assert len(finished(output)) >= 4
    done = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}

    again = start(folder, source, output)
    said = again.communicate(timeout=600)[1]
    assert again.returncode == 1, said
    assert f"1 of {count} rows failed" in said
    assert len(done) < BLOCKS
    now = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
    assert len(done.items() & now.items()) >= len(done) - 2, "more than two were not committed"
    assert pq.read_table(output).num_rows == count
    found = answers(output)
    assert len(found) == count
    assert found["calls.jsonl:8"]["kind"] == "RowError"
    for number in (1, BLOCK, count):
        row = found[f"calls.jsonl:{number}"]
        assert row["id"] == f"c{number - 1}"
        expected = recognizer.recognize(f"Llamada {number - 1}, qué alegría.")
        assert (row["label"], row["scores"]) == (expected.label, expected.scores)
    wait_until(lambda: ray_processes(folder) == [])
