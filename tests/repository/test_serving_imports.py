"""Allowed imports of the packages in serving, and the extra that emo-serve needs."""

import ast

import pytest

from helpers.corpora import ROOT
from helpers.processes import run_python


@pytest.mark.parametrize("package", ["emo_serving", "emo_integrations"])
def test_of_our_own_it_imports_the_runtime_alone(package):
    ours = {"emo_runtime", package}
    for path in (ROOT / "serving" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                root = name.partition(".")[0]
                assert not root.startswith("emo_") or root in ours, (path, name)


def test_without_the_extra_one_line_names_it():
    hide = "import sys; sys.modules['uvicorn'] = None; import importlib.util as u; "
    find = "old = u.find_spec; u.find_spec = lambda name: None if name == 'uvicorn' else old(name);"
    done = run_python("-c", f"{hide}{find} from emo_serving.cli import main; main([])")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'pip install "emo-runtime[serve]"' in done.stderr
