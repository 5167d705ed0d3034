"""Run the notebooks and hold what they show against what is stored in them.

``python -m tests.notebooks.stored`` runs them and stores what they show: that is ``make notebooks``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat

from analysis.drawing.widget import WIDGET
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
VARIES = "varies"
"""Tag of cells whose numbers come from training or from drawn noise: they differ between processors, so that only the
kinds of their outputs are compared."""
RELATIVE = 0.01
"""Numbers may differ by this share, and by a unit in their last printed place, ..."""
ABSOLUTE = 1e-4
"""... or by this, about which the errors of self-checks lie."""
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", re.ASCII)


def read(path: Path) -> Any:
    """The notebook of a file."""
    return nbformat.read(path, as_version=4)


def execute(path: Path) -> Any:
    """Run a notebook as it is, from the project's root and on the CPU; gives it back with its outputs."""
    book = read(path)
    metadata = dict(book.metadata)
    quiet = {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "2",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    nbclient.NotebookClient(
        book,
        timeout=PATIENCE,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    ).execute(env=os.environ | quiet)
    book.metadata = nbformat.from_dict(metadata)
    for output in (output for cell in code_cells(book) for output in cell.outputs):
        output.get("data", {}).pop(WIDGET, None)  # it lives as long as its kernel
    return book


def code_cells(book: Any) -> list[Any]:
    """The cells that were run."""
    return [cell for cell in book.cells if cell.cell_type == "code"]


def printed(book: Any) -> str:
    """All that a notebook prints."""
    return "".join(o.text for cell in code_cells(book) for o in cell.outputs if o.output_type == "stream")


def kinds(cell: Any) -> list[tuple[str, ...]]:
    """What each output of a cell is: a stream's name, or the sorted media types."""
    return [
        (output.name,) if output.output_type == "stream" else tuple(sorted(output.data))
        for output in cell.outputs
    ]


def words(cell: Any) -> str:
    """Text and tables of a cell's outputs; figures say nothing here."""
    said = []
    for output in cell.outputs:
        if output.output_type == "stream":
            said.append(output.text)
        elif set(output.data) <= {"text/plain", "text/html"} and "dataframe" in output.data.get(
            "text/html", "dataframe"
        ):
            said.append(output.data["text/plain"])
    return "\n".join(said)


def differences(stored: Any, found: Any) -> Iterator[str]:
    """What a run shows otherwise than its notebook: kinds of outputs, words, numbers beyond the tolerance."""
    for number, (before, now) in enumerate(zip(code_cells(stored), code_cells(found), strict=True)):
        where = f"code cell {number} ({before.source.splitlines()[0]})"
        if kinds(before) != kinds(now):
            yield f"{where}: shows {kinds(now)}, stored are {kinds(before)}"
        elif VARIES not in before.metadata.get("tags", []):
            yield from (f"{where}: {what}" for what in unlike(words(before), words(now)))


def unlike(stored: str, found: str) -> Iterator[str]:
    """Differences of two texts: first of all that is no number, spaces aside, then of every number."""
    plain = [" ".join(_NUMBER.sub("#", text).replace("-", " ").split()) for text in (stored, found)]
    if plain[0] != plain[1]:
        yield f"says {found!r}, stored is {stored!r}"
        return
    for one, other in zip(_NUMBER.findall(stored), _NUMBER.findall(found), strict=True):
        if not alike(one, other):
            yield f"says {other}, stored is {one}"


def alike(stored: str, found: str) -> bool:
    """Whether two printed numbers are equal but for rounding; whole ones below a thousand must be the same."""
    a, b = (float(text.replace(",", "")) for text in (stored, found))
    if re.fullmatch(r"[-+]?[\d,]+", stored) and re.fullmatch(r"[-+]?[\d,]+", found):
        return abs(a - b) <= max(abs(a), abs(b)) / 1000
    return abs(a - b) <= ABSOLUTE + RELATIVE * max(abs(a), abs(b)) + max(
        _last_place(stored), _last_place(found)
    )


def _last_place(text: str) -> float:
    """The value of one unit in the last printed place."""
    digits, _, power = text.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def main() -> None:
    """Run every notebook, or those named, and store what they show."""
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        nbformat.write(execute(path), path)


if __name__ == "__main__":
    main()
