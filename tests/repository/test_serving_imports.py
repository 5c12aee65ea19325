"""Allowed imports of emo_serving, and the extra that its command needs."""

import ast

from helpers.corpora import ROOT
from helpers.processes import run_python

OURS = {"emo_runtime", "emo_serving"}


def test_of_our_own_it_imports_the_runtime_alone():
    for path in (ROOT / "serving").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                root = name.partition(".")[0]
                assert not root.startswith("emo_") or root in OURS, (path, name)


def test_without_the_extra_one_line_names_it():
    hide = "import sys; sys.modules['uvicorn'] = None; import importlib.util as u; "
    find = "old = u.find_spec; u.find_spec = lambda name: None if name == 'uvicorn' else old(name);"
    done = run_python("-c", f"{hide}{find} from emo_serving.cli import main; main([])")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'pip install "emo-runtime[serve]"' in done.stderr
