"""Every notebook runs as it is and shows what is stored in it."""

from __future__ import annotations

import re

import nbformat
import pytest

import analysis as an
from tests.notebooks import stored
from tests.notebooks.stored import NOTEBOOKS, ROOT, code_cells, printed, read

MOST_BYTES = 600_000
"""A notebook with its outputs: what a page that shows it loads."""
by_name = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# Jupyter's client announces plans of its own; they are not about the notebooks.
quiet = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning"
)


def test_there_are_notebooks():
    assert NOTEBOOKS


@by_name
def test_a_notebook_is_stored_with_what_it_shows(path):
    book = read(path)
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown" and book.cells[0].source.startswith("# ")
    pages = {p.stem for p in (ROOT / "pages").glob("*.py")}
    assert re.sub(r"^\d+_", "", path.stem) in pages, "a notebook carries the name of its page"
    assert book.metadata.kernelspec.name == "python3" and "widgets" not in book.metadata
    assert path.stat().st_size < MOST_BYTES
    cells = code_cells(book)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs and not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@by_name
def test_a_notebook_has_no_path_tricks_and_fetches_nothing(path):
    text = path.read_text()
    assert not re.search(r"sys\.path|PYTHONPATH|os\.chdir|%cd|pip install", text)
    shown = "".join(str(cell.outputs) for cell in code_cells(read(path)))
    assert not re.search(r"<script|<link|<iframe|cdn\.|(?:src|href)=.{0,2}http", shown)
    assert str(ROOT) not in text


@pytest.mark.embedded
@quiet
@by_name
def test_a_notebook_shows_what_is_stored(path, smollm2):
    found = stored.execute(path)
    assert [*stored.differences(read(path), found)] == []
    if path.stem == "01_token_entropy":
        text = re.search(r'^text = "(.*)"$', "\n".join(c.source for c in found.cells), re.M)[1]
        numbers, said = an.summary(an.trace(smollm2, text).tokens), printed(found)
        assert f"perplexity {numbers.perplexity:.1f}, {numbers.bits_per_byte:.2f} bits per byte" in said
        assert f"= {numbers.mean_entropy * 1.4426950408889634:.2f} bits" in said


# The comparison ---------------------------------------------------------------------------------------


def book(*cells, tags=()):
    """Notebook of code cells with these outputs."""
    made = nbformat.v4.new_notebook()
    for outputs in cells:
        cell = nbformat.v4.new_code_cell("an.something()", outputs=outputs, metadata={"tags": list(tags)})
        made.cells.append(cell)
    return made


def out(text, name="stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def data(**kinds):
    names = {"plain": "text/plain", "html": "text/html", "svg": "image/svg+xml"}
    return nbformat.v4.new_output("execute_result", data={names[k]: v for k, v in kinds.items()})


@pytest.mark.parametrize(
    ("stored_text", "found"),
    [
        ("mean 2.65 nats", "mean 2.66 nats"),  # a rounding border
        ("off by 3.1e-07, rank 11,909", "off by 2.2e-06, rank 11,905"),
        ("change  -0.00", "change 0.00"),
        ("a   1.234567", "a 1.239999"),
    ],
)
def test_rounding_is_no_difference(stored_text, found):
    assert [*stored.differences(book([out(stored_text)]), book([out(found)]))] == []


@pytest.mark.parametrize(
    ("stored_text", "found"),
    [
        ("mean 2.65 nats", "mean 2.75 nats"),
        ("mean 2.65 nats", "mean 2.65 bits"),
        ("layer 12", "layer 13"),
        ("change -0.5", "change 0.5"),
        ("passed", "FAILED"),
        ("off by 3.1e-07", "off by 3.1e-03"),
        ("rank 11,909", "rank 11,929"),
        ("1 2 3", "1 2"),
    ],
)
def test_a_difference_is_found(stored_text, found):
    told = [*stored.differences(book([out(stored_text)]), book([out(found)]))]
    assert len(told) == 1 and "code cell 0 (an.something())" in told[0]
    assert [*stored.differences(book([out(stored_text)], tags=["varies"]), book([out(found)]))] == []


def test_tables_are_compared_and_figures_only_by_kind():
    table = {"html": "<table class='dataframe'>", "plain": "   kl\n0  1.5"}
    before = book([data(**table)], [data(svg="<svg>a</svg>")])
    assert not [*stored.differences(before, book([data(**table)], [data(svg="<svg>b</svg>")]))]
    other = table | {"plain": "   kl\n0  1.7"}
    assert len([*stored.differences(before, book([data(**other)], [data(svg="<svg>a</svg>")]))]) == 1
    assert len([*stored.differences(before, book([data(**table)], [data(plain="Chart()")]))]) == 1
    assert len([*stored.differences(before, book([data(**table), out("no", "stderr")], [data(svg="")]))]) == 1
