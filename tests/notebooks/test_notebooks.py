"""Every notebook runs as it is, from both folders it may be started in, and tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import analysis as an
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

# Jupyter's client announces plans of its own; they are not about the notebooks.
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning"
)
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def read(path: Path):
    return nbformat.read(path, as_version=4)


def execute(path: Path, folder: Path):
    """Run a notebook with the kernel started in a folder; gives it back with its outputs."""
    book = read(path)
    nbclient.NotebookClient(
        book, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return book


def printed(book) -> str:
    return "".join(
        output["text"]
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


def shown(book) -> list[set[str]]:
    """Kinds of picture or table each cell shows."""
    return [
        set(output["data"])
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("execute_result", "display_data")
    ]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_no_outputs_are_stored(path):
    book = read(path)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert book.cells[0].cell_type == "markdown" and book.cells[0].source.startswith("# ")
    pages = {p.stem for p in (ROOT / "pages").glob("*.py")}
    assert re.sub(r"^\d+_", "", path.stem) in pages, "a notebook carries the name of its page"


@pytest.mark.embedded
@quiet
def test_token_entropy_runs_and_its_numbers_are_those_of_the_library(smollm2):
    path = ROOT / "notebooks" / "01_token_entropy.ipynb"
    book = execute(path, ROOT / "notebooks")
    said = printed(book)
    text = re.search(r'^text = "(.*)"$', "\n".join(c.source for c in book.cells), re.M)[1]
    numbers = an.summary(an.trace(smollm2, text).tokens)
    assert f"perplexity {numbers.perplexity:.1f}, {numbers.bits_per_byte:.2f} bits per byte" in said
    nats = float(re.search(r"mean entropy ([\d.]+) nats", said)[1])
    bits = float(re.search(r"= ([\d.]+) bits", said)[1])
    assert nats == pytest.approx(numbers.mean_entropy, abs=0.006)
    assert bits == pytest.approx(numbers.mean_entropy * 1.4426950408889634, abs=0.006)
    assert f"excess {numbers.excess:+.2f} nats" in said
    assert said.count("passed · ") >= 2 and "FAILED" not in said
    kinds = shown(book)
    assert len(kinds) == 6
    assert all("text/html" in k or any("vega" in m or "plotly" in m for m in k) for k in kinds)


@pytest.mark.embedded
@quiet
@each_notebook
def test_the_first_cell_finds_the_project_from_its_root(path):
    book = read(path)
    book.cells = [cell for cell in book.cells if cell.cell_type == "code"][:1]
    book.cells.append(nbformat.v4.new_code_cell("import analysis; print(analysis.__file__)"))
    nbclient.NotebookClient(
        book, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    ).execute()
    assert Path(printed(book).strip()).resolve() == ROOT / "analysis" / "__init__.py"


@pytest.mark.embedded
@quiet
def test_attention_sinks_runs_and_shows_its_pictures():
    book = execute(ROOT / "notebooks" / "02_attention_sinks.ipynb", ROOT)
    kinds = shown(book)
    assert sum("text/html" in kind or any("vegalite" in k for k in kind) for kind in kinds) >= 8


@pytest.mark.embedded
@quiet
def test_entropy_collapse_finds_the_layer_of_its_texts():
    book = execute(ROOT / "notebooks" / "03_entropy_collapse.ipynb", ROOT)
    said = printed(book)
    layer = re.search(r"largest drop: ([\d.]+) % into layer (\d+)", said)
    assert float(layer[1]) > 10
    assert f"collapse layer {layer[2]}" in said and re.search(r"Diff-eRank [+-][\d.]+ directions", said)
    assert re.search(r"a = [\d.]+, b = [\d.]+, ceiling [\d.]+, R squared 0\.9", said)
    assert "The law wants 8 or more" in said
    assert len(shown(book)) == 14


@pytest.mark.embedded
@quiet
def test_pruning_effects_asks_for_its_needle():
    book = execute(ROOT / "notebooks" / "04_pruning_effects.ipynb", ROOT)
    said = printed(book)
    assert re.search(r"The secret number of \w+ is \d{4}\.", said)
    assert "keys and values weigh as much as the weights at 11,677 tokens" in said
    assert len(shown(book)) == 9
