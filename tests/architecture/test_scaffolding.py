"""What many need is written once: drawing a chart, asking for a model, memory that runs out."""

from __future__ import annotations

import ast
import re

import pytest

from analysis.drawing.labels import SIGNS
from tests.architecture.test_imports import FILES, ROOT, name_of, only


def test_the_strip_in_the_browser_has_no_text_and_no_number_of_its_own():
    """What stands for white space, what cannot be seen and how a number is written comes from Python."""
    script = (ROOT / "analysis/drawing/browser/strip_view.js").read_text()
    for own in (*SIGNS.values(), "U+", "Cf}", "u200", "2009", "toPrecision(6", "toFixed", "toLocaleString"):
        assert own not in script, own
    for sent in ("signs", "odd", "ends", "digits", "special"):
        assert re.search(rf"\b{sent}\b", script), sent


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"\.(altair|plotly)_chart\(", {"figure_card.py"}),
        (r"chart_svg|plotly_html|\.document\(|[^_]figure_card\(", {"figure_card.py"}),
        (r"state\.OPENED in", {"run_status.py"}),
        (r"def try_submit\(", {"run_status.py"}),
    ],
)
def test_is_in_one_place(what, where):
    found = {name_of(path) for path in (*only("app"), *only("pages")) if re.search(what, path.read_text())}
    assert found == {f"app/widgets/{name}" for name in where}


@pytest.mark.parametrize("sign", [*SIGNS.values(), "⇥", "◌"])
def test_a_sign_for_white_space_is_in_one_place(sign):
    found = {
        name_of(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == sign
    }
    assert found <= {"analysis/drawing/labels.py"}


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"cannot allocate memory|bad_alloc", {"analysis/out_of_memory.py"}),
        (r"torch\.OutOfMemoryError|except .*MemoryError.*RuntimeError", set()),
        (r"lock, torch\.inference_mode", {"analysis/forward/trace.py", "analysis/models/loading.py"}),
        (r"\bConv1D\b", {"analysis/models/library_parts.py"}),
    ],
)
def test_is_in_one_place_of_all(what, where):
    paths = (*only("analysis"), *only("app"), *only("pages"))
    assert {name_of(path) for path in paths if re.search(what, path.read_text(), re.MULTILINE)} == where
