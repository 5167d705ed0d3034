"""The token strip in JupyterLab, offline: a click on a token is read in Python, and without a kernel a picture stays."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.packaging.serving import free_port

pytestmark = pytest.mark.browser
harness = pytest.importorskip("tests.browser.harness", reason="playwright is not installed")
pytest.importorskip("jupyterlab")

TRACE = harness.ROOT / "tests" / "golden" / "schema_1.trace"
CELLS = (
    f"import analysis as an\nrun = an.load_trace({str(TRACE)!r})\nstrip = an.figures.token_strip(run)\n"
    "heard = []\nstrip.observe(heard.append)\nstrip",
    "print('chosen:', strip.selected, heard, an.figures.token_strip(run).selected)",
)
QUIET = ("--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of a JupyterLab of its own, and the notebook in it."""
    book = tmp_path / "strip.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, book)
    port = free_port()
    start = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
    ]
    start += [f"--notebook-dir={tmp_path}", "--IdentityProvider.token=", *QUIET]
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path),
    }
    with harness.running(start, f"http://127.0.0.1:{port}", "/api", own) as base:
        yield base, book


def run(page: Any, cell: Any) -> None:
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def strip(page: Any) -> Any:
    return page.locator(".ls-strip[data-ready]")


def test_a_token_that_is_clicked_is_read_in_python(chromium: Any, lab: tuple[str, Path]) -> None:
    base, book = lab
    with harness.page(chromium) as page:
        seen = harness.instrument(page)
        page.goto(f"{base}/lab/workspaces/own/tree/{book.name}")
        page.get_by_text("(ipykernel) | Idle").wait_for()
        first, last = page.locator(".jp-CodeCell").first, page.locator(".jp-CodeCell").last
        run(page, first)
        strip(page).wait_for()
        at = strip(page).evaluate("root => root._rect(3)")
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        assert strip(page).get_attribute("data-selected") == "3"
        run(page, last)
        page.get_by_text("chosen: 3 [3] None").wait_for()
        assert strip(page).get_attribute("data-theme") == "light"
        assert seen.outside == []
        page.keyboard.press("Control+s")
        page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
    stored = nbformat.read(book, as_version=4)
    assert "widgets" not in stored.metadata
    (shown,) = [output.data for output in stored.cells[0].outputs if "data" in output]
    assert re.search(r"<div class=\"ls\w+\"><style>", shown["text/html"]), "what is shown without a kernel"
