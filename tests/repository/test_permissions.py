"""Read-only folders; capabilities are dropped, because tests often run as root."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers.corpora import CHECKPOINT
from helpers.processes import environment

# Root without its capabilities is a user like others: its own folders' modes count.
POWERLESS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
TEXT = CHECKPOINT / "text"
COMMANDS = {
    "predict": (0, "emo_runtime.cli.predict", "--text", "hola"),
    "verify": (0, "emo_runtime.cli.bundle", "verify"),
    "export": (
        *(1, "emo_export.cli", "--text", TEXT, "--no-gate", "--output", "bundle"),
        *("--evaluate", "../rows.csv"),
    ),
    "train": (
        *(1, "emo_models.cli.train", "text", "--train", "../rows.csv", "--encoder", TEXT),
        *("--output", "run"),
    ),
    "bench": (1, "emo_bench.cli", "--scenario", "cold", "--output", "report"),
}


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root needs setpriv to be nobody"
)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_and_a_home_that_may_not_be_written(name, tmp_path):
    """Impact: a traceback after all the work, or an answer that is lost with a cache."""
    code, module, *arguments = COMMANDS[name]
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o555)
    rows = [f"{label},esto es {label}" for label in ("anger", "joy", "fear", "sadness") * 4]
    (tmp_path / "rows.csv").write_text("\n".join(["label,text", *rows]), encoding="utf-8")
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        [*(POWERLESS if os.geteuid() == 0 else []), *command],
        cwd=folder,
        env=environment(
            HOME=str(folder), XDG_CACHE_HOME=None, TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "torch")
        ),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert "Permission denied" in done.stderr
    assert list(folder.iterdir()) == []
