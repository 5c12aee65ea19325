"""emo-bench from the command line, on a tiny bundle."""

import importlib.util
import json
import os
import time
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from emo_bench.cli import main
from emo_bench.engines.emo import EmoEngine
from emo_bench.report.schema import encode_report, read_report
from emo_bench.runner.client import WorkerProcess
from emo_bench.runner.cold import run_cold
from emo_bench.worker.live import run_live
from emo_bench.workload import Sample
from helpers.processes import run_python
from helpers.reports import report
from helpers.sounds import as_file, speechlike
from helpers.workloads import TEXT_ONLY

QUICK = ["--samples", "40", "--rounds", "2", "--duration", "4", "--threads", "1", "--calls", "2"]
BRIEF = ["--samples", "4", "--rounds", "1", "--duration", "4", "--threads", "1"]


def run(*arguments):
    return CliRunner().invoke(main, [str(item) for item in arguments])


def bench(*arguments):
    return run_python("-m", "emo_bench.cli", *arguments, timeout=300)


def test_a_report_of_every_scenario(tiny_bundle, tmp_path):
    done = bench("--bundle", tiny_bundle(), "--output", tmp_path / "out", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    found = read_report(tmp_path / "out" / "report.json")
    [engine] = found.engines
    assert {item.scenario for item in engine.measurements} == {
        *("SingleStream", "MultiStream", "Server", "Offline", "stream", "cold"),
    }
    by_name = {item.scenario: item for item in engine.measurements}
    assert 1 <= len(by_name["SingleStream"].latencies_ms) <= 40  # fewer on a slow machine
    assert by_name["stream"].figures["real_time_factor"] < 1
    assert by_name["cold"].figures["import_ms"] > 0
    assert {"decode", "resample", "front_end", "tokenize", "text", "fusion"} <= set(
        engine.costs.phases_ms
    )
    assert engine.description["threads"] == {"count": 1, "origin": "requested"}
    assert found.workload["tokens_p50"] > 5
    assert "SingleStream" in done.stdout
    assert (tmp_path / "out" / "latency-cdf.png").is_file()


def test_the_name_of_an_installed_bundle():
    """Worker processes and fresh processes open it too, from another directory."""
    scenarios = ("--scenario", "SingleStream", "--scenario", "cold")
    done = bench("--bundle", "emo-es-small", "--json", "--text-only", *scenarios, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    [engine] = json.loads(done.stdout)["engines"]
    assert engine["failure"] is None
    assert {it["scenario"] for it in engine["measurements"]} == {"SingleStream", "cold"}


@pytest.mark.parametrize("options", [{"present_input": True}, {"audio_only": True}], ids=str)
def test_a_bundle_with_a_speech_graph(tiny_bundle, options):
    bundle, with_text = str(tiny_bundle(speech="log_mel", **options)), "audio_only" not in options
    found = json.loads(
        run("--bundle", bundle, "--json", "--scenario", "SingleStream", *BRIEF).stdout
    )
    [engine] = found["engines"]
    assert engine["failure"] is None
    assert len(engine["measurements"][0]["latencies_ms"]) == 4
    assert engine["costs"]["phases_ms"]["speech"] > 0
    assert (engine["costs"]["phases_ms"]["text"] > 0) is with_text
    assert found["workload"]["with_text"] is with_text
    sample = Sample("no puedo" if with_text else "", as_file(speechlike(0.5, 8_000), 8_000))
    assert run_cold(1, bundle, 1, sample).figures["first_answer_ms"] > 0
    calls = run_live(EmoEngine(bundle, threads=1), [sample], calls=1, duration_s=1.0, seed=0)
    assert calls.finish_ms
    assert (calls.tokens[0] > 0) is with_text


def test_utterances_for_a_bundle_without_text(tiny_bundle, tmp_path):
    bundle = tiny_bundle(speech="log_mel", audio_only=True)
    (tmp_path / "a.wav").write_bytes(as_file(speechlike(0.5, 16_000), 16_000))
    (tmp_path / "own.csv").write_text("audio,label\na.wav,joy\n")
    (tmp_path / "text.csv").write_text("text,label\nhola,joy\n")
    words = ["--bundle", bundle, "--json", "--scenario", "SingleStream", *BRIEF]
    result = run(*words, "--texts", tmp_path / "own.csv")
    assert json.loads(result.stdout)["engines"][0]["accuracy"]["labelled"] == 1
    for arguments, code in ((["--texts", tmp_path / "text.csv"], 1), (["--text-only"], 2)):
        result = run(*words, *arguments)
        assert result.exit_code == code
        assert "answers sound alone" in result.stderr


def test_json_is_one_document(tiny_bundle):
    options = ["--bundle", tiny_bundle(text_only=True), "--json", "--scenario", "singlestream"]
    done = bench(*options, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    [engine] = document["engines"]
    [measurement] = engine["measurements"]
    assert measurement["percentiles"]["p50"]["value"] > 0
    assert measurement["percentiles"]["p99.9"] is None
    assert document["workload"]["with_audio"] is False


def test_labels_give_macro_f1(tiny_bundle, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nno puedo más,fear\nhola,joy\n", encoding="utf-8")
    done = bench(
        *["--bundle", tiny_bundle(), "--json", "--scenario", "SingleStream"],
        *["--texts", tmp_path / "t.csv", *QUICK],
    )
    accuracy = json.loads(done.stdout)["engines"][0]["accuracy"]
    assert 0 <= accuracy["macro_f1"] <= 1
    assert accuracy["labelled"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bundle", "nowhere"], "no such directory"),
        (["--texts", "missing.csv"], "cannot be read"),
        (["--output", "/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_errors_come_before_any_measuring(tiny_bundle, arguments, message):
    if "--bundle" not in arguments:
        arguments = ["--bundle", str(tiny_bundle()), *arguments]
    start = time.perf_counter()
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert time.perf_counter() - start < 300


def test_rivals_need_the_weights(tiny_bundle, tmp_path):
    result = run("--bundle", tiny_bundle(), "--peers")
    assert result.exit_code == 2
    assert "--peers needs --checkpoint" in result.stderr
    result = run("--bundle", tiny_bundle(), "--peers", "--checkpoint", tmp_path)
    assert result.exit_code == 1
    assert "no text/config.json" in result.stderr


@pytest.mark.parametrize("missing", ["rich", "mlperf_loadgen"])
def test_without_the_extra_one_line_names_it(monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else find(name)
    )
    result = run()
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert 'pip install "emo-runtime[bench]"' in result.stderr


def test_importing_the_command_needs_no_extra():
    code = (
        "import sys\n"
        "for name in ('rich', 'mlperf_loadgen', 'matplotlib', 'torch'): sys.modules[name] = None\n"
        "import emo_bench.cli\n"
    )
    done = run_python("-W", "error", "-c", code)
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_gives_what_was_measured(tiny_bundle, monkeypatch):
    @contextmanager
    def interrupting():
        def on_progress(message):
            if "round 3" in message:
                raise KeyboardInterrupt

        yield on_progress

    monkeypatch.setattr("emo_bench.report.console.progress", interrupting)
    result = run("--bundle", tiny_bundle(), "--json", *QUICK, "--rounds", "5", "--duration", "300")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["interrupted"]
    [measurement] = document["engines"][0]["measurements"]
    assert measurement["scenario"] == "SingleStream"
    assert measurement["rounds"] == [8, 8]
    assert result.stderr.startswith("Error: interrupted")


def test_workers_are_not_in_the_way_of_ctrl_c():
    with WorkerProcess("sleeper", {"delays_ms": [1.0]}, TEXT_ONLY, None) as worker:
        assert os.getpgid(worker._process.pid) != os.getpgid(0)


def written(path, **changes):
    path.write_bytes(encode_report(report(**changes)))
    return path


def test_compare(tmp_path):
    old, same = written(tmp_path / "old.json", seed=1), written(tmp_path / "same.json", seed=2)
    slow = written(tmp_path / "slow.json", scale=1.4, seed=3)
    result = run("compare", old, same)
    assert result.exit_code == 0
    assert "REGRESSION" not in result.stdout
    result = run("compare", old, slow)
    assert result.exit_code == 3
    assert "4 of 4 figures are slower by more than 5%" in result.stderr
    assert run("compare", old, slow, "--tolerance", "1").exit_code == 0
    assert run("compare", slow, old).exit_code == 0
    document = json.loads(run("compare", old, slow, "--json").stdout)
    assert document["differences"][0]["regression"] is True


def test_compare_nothing(tmp_path):
    old = written(tmp_path / "old.json")
    empty = written(tmp_path / "new.json", engines=[])
    assert "nothing was compared" in run("compare", old, empty).stderr
    assert run("compare", old, tmp_path / "missing.json").exit_code == 1
