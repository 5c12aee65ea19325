"""Dependencies and side effects of imports, each in a fresh process."""

import json
import os

import pytest

from helpers.corpora import ROOT
from helpers.processes import run_python

FORBIDDEN = {
    *("torch", "transformers", "librosa", "onnx", "scipy", "sklearn", "safetensors", "rich"),
    *("emo_models", "emo_export", "emo_bench", "emo_serving"),
    *("fastapi", "starlette", "uvicorn", "pydantic", "ray"),
}


def output_of(code, *arguments, **options):
    done = run_python("-W", "error", "-c", code, *arguments, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


USE = """
import json, sys
from emo_runtime import EmotionRecognizer
recognizer = EmotionRecognizer.open(sys.argv[1])
recognizer.recognize("no puedo más", sys.argv[2])
stream = recognizer.stream(sample_rate=8000)
stream.feed(bytes(16000))
stream.finish() if "audio" in recognizer.tasks else stream.duration_s
import emo_runtime.cli.predict, emo_runtime.cli.bundle
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def test_the_runtime_imports_no_other_root(tiny_bundle):
    clip = ROOT / "examples" / "clips" / "miedo.flac"
    loaded = set(json.loads(output_of(USE, str(tiny_bundle()), str(clip))))
    assert loaded >= {"emo_runtime", "numpy", "onnxruntime", "tokenizers", "soundfile", "soxr"}
    assert not loaded & FORBIDDEN


def test_the_source_names_none_of_them():
    for path in (ROOT / "runtime" / "emo_runtime").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if words[:1] == ["import"] or words[:1] == ["from"]:
                assert words[1].partition(".")[0] not in FORBIDDEN, (path, line)


def test_onnxruntime_is_imported_in_one_module():
    naming = [
        path.name
        for path in (ROOT / "runtime" / "emo_runtime").rglob("*.py")
        if any(
            line.split()[:2] in (["import", "onnxruntime"], ["from", "onnxruntime"])
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert naming == ["session.py"]


def test_an_import_has_no_side_effects():
    code = """
import sys
touched = []
def watch(event, arguments):
    if event == "open":
        path, mode, _ = arguments
        if not str(path).endswith((".py", ".pyc", ".so")) and mode != "r":
            touched.append((event, str(path)))
    elif event.startswith(("socket.", "subprocess.", "os.mkdir", "os.rename", "os.remove")):
        touched.append((event, str(arguments)))
import numpy, tokenizers, msgspec, importlib.metadata
importlib.metadata.version("numpy")
sys.addaudithook(watch)
import threading
before = threading.active_count()
import emo_runtime
print(touched, "onnxruntime" in sys.modules, threading.active_count() - before)
"""
    assert output_of(code) == "[] False 0\n"


def test_telemetry_is_off_before_onnxruntime_is_imported(tiny_bundle, tmp_path):
    code = """
import os, sys
from emo_runtime import EmotionRecognizer
assert "ORT_DISABLE_TELEMETRY" not in os.environ
recognizer = EmotionRecognizer.open(sys.argv[1], self_test=False)
recognizer.recognize("hola")
print(os.environ["ORT_DISABLE_TELEMETRY"], recognizer.describe()["telemetry_off"])
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    printed = output_of(code, str(tiny_bundle()), ORT_DISABLE_TELEMETRY=None, **home)
    assert printed == "1 True\n"
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_imported_onnxruntime_before_is_warned(tiny_bundle, tmp_path):
    code = """
import sys, warnings
sys.modules["onnxruntime"] = type(sys)("onnxruntime")  # as if the host had
from emo_runtime.ort import session
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    session.load_onnxruntime()
print(session.telemetry_is_off(), caught[0].category.__name__, caught[0].message)
"""
    printed = output_of(code, ORT_DISABLE_TELEMETRY=None)
    assert printed.startswith("False RuntimeWarning onnxruntime was imported before emo_runtime")
    assert output_of(
        "import onnxruntime; from emo_runtime.ort import session;"
        "session.load_onnxruntime(); print(session.telemetry_is_off())",
        ORT_DISABLE_TELEMETRY="1",
    ).startswith("True")


def test_nothing_leaves_the_machine(tiny_bundle):
    code = """
import sys
def watch(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(watch)
from emo_runtime import EmotionRecognizer
EmotionRecognizer.open(sys.argv[1], self_test=True).recognize("hola")
print("done")
"""
    assert output_of(code, str(tiny_bundle())) == "done\n"


@pytest.mark.parametrize("options", [["-O"], ["-OO"], ["-I"], ["-X", "utf8=0"]])
def test_interpreter_options(tiny_bundle, options):
    roots = [str(ROOT / "runtime")]
    code = (
        f"import sys; sys.path[:0] = {roots!r};"
        "from emo_runtime import EmotionRecognizer;"
        "print(EmotionRecognizer.open(sys.argv[1], self_test=True).recognize('hola').task)"
    )
    done = run_python("-W", "error", *options, "-c", code, tiny_bundle(), LANG="C", LC_ALL="C")
    assert (done.returncode, done.stdout) == (0, "text\n"), done.stderr


@pytest.mark.skipif(os.name != "posix", reason="HOME is the POSIX way")
def test_no_home_at_all(tiny_bundle):
    code = (
        "import sys; from emo_runtime import EmotionRecognizer;"
        "print(EmotionRecognizer.open(sys.argv[1]).recognize('hola').task)"
    )
    assert output_of(code, str(tiny_bundle()), HOME=None, XDG_CACHE_HOME=None) == "text\n"
