"""The notebook runs from top to bottom, and its stored outputs are small and current."""

import shutil

import pytest

from helpers.corpora import ROOT

nbformat = pytest.importorskip("nbformat", reason="needs nbclient: run `make integrations`")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: run `make integrations`")
pytest.importorskip("ipykernel", reason="needs a kernel: run `make integrations`")

pytestmark = pytest.mark.filterwarnings("default")
FOLDER = ROOT / "examples/integrations/notebook"


def texts(notebook):
    """Return the plain-text outputs, without those of pictures."""
    return [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" not in output.get("data", {})
    ]


def test_the_notebook_runs_and_shows_what_is_stored(tmp_path):
    shutil.copytree(ROOT / "examples/call", tmp_path / "call")
    shutil.copytree(FOLDER, tmp_path / "integrations/notebook")
    folder = tmp_path / "integrations/notebook"
    stored = nbformat.read(folder / "call_timeline.ipynb", as_version=4)
    run = nbformat.read(folder / "call_timeline.ipynb", as_version=4)
    nbclient.NotebookClient(
        run, timeout=300, resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert texts(run) == texts(stored)
    assert (folder / "call.png").stat().st_size > 1000


def test_the_stored_notebook_is_small():
    assert (FOLDER / "call_timeline.ipynb").stat().st_size < 100_000
