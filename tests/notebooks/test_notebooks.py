"""Every notebook runs from top to bottom and gives the numbers that the package gives."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import analysis as an

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert [n.stem for n in NOTEBOOKS] == ["01_token_entropy"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_output_is_stored(path):
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.embedded
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_notebook_runs_and_its_summary_is_right(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(FOLDER)}}).execute()
    shown = {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    summary = next(outputs for source, outputs in shown.items() if "an.summary" in source)[0]["data"][
        "text/plain"
    ]
    text = re.search(r'an\.trace\(\s*model,\s*"(.+?)",?\s*\)', "\n".join(shown)).group(1)
    expected = an.summary(an.trace(an.load_model(), text).tokens)
    for name in ("perplexity", "bits_per_byte", "mean_entropy", "excess"):
        value = float(re.search(rf"{name}=([-\d.e]+)", summary).group(1))
        assert value == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-5)
    strip = next(outputs for source, outputs in shown.items() if source.endswith("token_strip(trace)"))
    assert any("ferry" in output.get("data", {}).get("text/html", "") for output in strip)
