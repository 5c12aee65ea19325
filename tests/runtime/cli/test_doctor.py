"""emo-doctor: findings, exit codes, and a report without personal data."""

import getpass
import importlib.metadata
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from emo_runtime import EmoError, EmotionRecognizer, SelfTestError, diagnostics
from emo_runtime.cli.doctor import main
from emo_runtime.diagnostics import diagnose
from emo_runtime.ort import providers
from emo_runtime.provider_trial import try_in_process, try_provider
from emo_runtime.requirements import requirements_of
from helpers.mutate import flip_byte
from helpers.processes import run_python


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return tiny_bundle()


@pytest.fixture
def tiny_only(monkeypatch, bundle):
    """The tiny bundle in place of the installed ones; only the CPU is tried."""
    monkeypatch.setattr(diagnostics, "installed_names", lambda: [str(bundle)])
    monkeypatch.setattr(diagnostics, "PROVIDERS", {"cpu": providers.CPU})


def run(*arguments):
    return CliRunner().invoke(main, [str(item) for item in arguments])


def problems(result):
    return [item["message"] for item in json.loads(result.stdout)["problems"]]


@pytest.mark.usefixtures("tiny_only")
def test_a_good_installation(bundle):
    result = run("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ok"]
    [checked] = found["bundles"]
    assert checked["ok"]
    assert 0 <= checked["difference"] < 0.05
    assert [(item["provider"], item["attached"]) for item in found["providers"]] == [("cpu", True)]
    for name, version in found["distributions"].items():
        assert version == importlib.metadata.version(name)
    usable = {item["name"]: item["usable"] for item in found["extras"]}
    assert usable["metrics"]


def test_installed_bundles_and_every_provider_in_a_process():
    """The shipped bundles pass on this machine; providers of other builds are reported absent."""
    done = run_python("-m", "emo_runtime.cli.doctor", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert {item["name"] for item in found["bundles"]} >= {"emo-es", "emo-es-small"}
    assert [item["name"] for item in found["bundles"] if item["default"]] == ["emo-es"]
    tried = {item["provider"]: item for item in found["providers"]}
    assert set(tried) == set(providers.PROVIDERS)
    assert tried["cpu"]["attached"]
    assert not tried["directml"]["installed"]


@pytest.mark.usefixtures("tiny_only")
def test_a_damaged_bundle_is_an_error(own_bundle):
    damaged = own_bundle()
    flip_byte(damaged / "text.fp32.onnx", 200)
    result = run("--json", "--bundle", damaged)
    assert result.exit_code == 1
    assert any("sha256 differs" in line for line in problems(result))
    text = run("--bundle", damaged)
    assert text.exit_code == 1
    assert "error: bundle" in text.stdout
    assert "Repair the problems" in text.stdout


@pytest.mark.usefixtures("tiny_only")
def test_other_answers_than_the_golden_ones_are_a_gate(monkeypatch, bundle):
    def differ(*_):
        raise SelfTestError("differs by 0.3")

    monkeypatch.setattr(EmotionRecognizer, "self_test", differ)
    result = run("--json")
    assert result.exit_code == 3
    assert any("differs by 0.3" in line for line in problems(result))


@pytest.mark.usefixtures("tiny_only")
def test_two_builds_of_onnxruntime_are_a_conflict(monkeypatch):
    monkeypatch.setattr(
        providers, "installed_distributions", lambda: ["onnxruntime 1", "onnxruntime-gpu 1"]
    )
    result = run("--json")
    assert result.exit_code == 1
    assert any("overwrite each other's files" in line for line in problems(result))


@pytest.mark.usefixtures("tiny_only")
def test_an_unsuitable_version_of_an_extra_is_a_warning(monkeypatch):
    monkeypatch.setattr(diagnostics, "extras", lambda: ["x"])

    def required(name):
        return (
            requirements_of("x", ['click>=999; extra == "x"'])
            if name == "x"
            else requirements_of(name)
        )

    monkeypatch.setattr(diagnostics, "requirements_of", required)
    result = run("--json")
    assert result.exit_code == 0
    assert any("click" in line and ">=999" in line for line in problems(result))


def test_the_report_has_no_personal_data(monkeypatch, tiny_bundle, tmp_path):
    """Host, user and home folder, which occur in paths and in messages, are replaced."""
    home = tmp_path / "home" / "maria.lopez"
    home.mkdir(parents=True)
    bad = home / "host-4711.example" / "bundle"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setattr(getpass, "getuser", lambda: "maria.lopez")
    monkeypatch.setattr(socket, "gethostname", lambda: "host-4711.example")
    monkeypatch.setattr(diagnostics, "installed_names", lambda: [str(tiny_bundle())])
    monkeypatch.setattr(diagnostics, "PROVIDERS", {"cpu": providers.CPU})
    outputs = [run("--bundle", bad, *form) for form in ([], ["--report"], ["--json"])]
    for result in outputs:
        assert result.exit_code == 1
        assert "no such directory" in result.stdout
        for secret in ("maria", "host-4711", str(home)):
            assert secret not in result.stdout
    assert outputs[1].stdout.startswith("```text\n")
    assert outputs[1].stdout.endswith("```\n")


def test_no_bundle_at_all(monkeypatch):
    monkeypatch.setattr(diagnostics, "installed_names", list)
    monkeypatch.setattr(diagnostics, "installed_bundle", lambda _: None)
    found = diagnose()
    assert found.exit_code == 0
    assert found.providers == []
    assert any("is not installed" in item.message for item in found.problems)


def test_a_provider_that_is_not_installed(bundle):
    assert not try_in_process("coreml", str(bundle)).installed
    assert try_in_process("cpu", str(bundle)).attached


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "its process ended with code"),
        ("print('the message of a driver')", "its process ended with code 0"),
        ("import time; time.sleep(600)", "no answer in time"),
    ],
    ids=["crashes", "prints", "hangs"],
)
def test_a_provider_that_crashes_or_hangs_is_reported(monkeypatch, bundle, code, reason):
    def run_other(_, **settings):
        return real_run([sys.executable, "-c", code], **settings)

    real_run = subprocess.run
    monkeypatch.setattr("emo_runtime.provider_trial.is_installed", lambda *_: True)
    monkeypatch.setattr("emo_runtime.provider_trial.subprocess.run", run_other)
    if reason == "no answer in time":
        monkeypatch.setattr("emo_runtime.provider_trial.TIME_LIMIT_S", 0.2)
    found = try_in_process("cuda", str(bundle))
    assert (found.provider, found.installed, found.attached) == ("cuda", True, False)
    assert found.error.startswith(f"cuda did not attach: {reason}")


def test_a_provider_with_other_answers_is_attached(monkeypatch, bundle, tmp_path):
    """Also if the bundle was never tested before on this machine."""

    def differ(*_):
        raise SelfTestError("differs by 0.3")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(EmotionRecognizer, "self_test", differ)
    found = try_provider("cpu", str(bundle))
    assert found.attached
    assert found.error == "differs by 0.3"
    assert found.graphs


def test_a_provider_that_does_not_attach(monkeypatch, bundle):
    def refuse(*_, **__):
        raise EmoError("no driver")

    monkeypatch.setattr("emo_runtime.provider_trial.EmotionRecognizer.open", refuse)
    found = try_provider("cuda", str(bundle))
    assert (found.installed, found.attached, found.error) == (True, False, "no driver")


def test_report_and_json_exclude_each_other():
    assert run("--report", "--json").exit_code == 2


def test_a_user_without_a_home_folder_and_the_short_name_of_the_host(monkeypatch):
    def no_home():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.setattr(getpass, "getuser", lambda: "maria")
    monkeypatch.setattr(socket, "gethostname", lambda: "host-4711.example")
    text = diagnostics.redact("maria on host-4711, host-4711.example")
    assert text == "USER on HOST, HOST"


def test_home_is_only_replaced_as_a_whole_word(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "on")
    monkeypatch.setattr(socket, "gethostname", lambda: "")
    text = diagnostics.redact(f"{Path.home()}/x: on disk, onnx, python")
    assert text == "~/x: USER disk, onnx, python"
