"""What every panel needs is written once: where a chart is drawn, and who asks whether there is a model."""

from __future__ import annotations

import re

import pytest

from tests.architecture.test_imports import name_of, only


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"\.(altair|plotly)_chart\(", {"figure_card.py"}),
        (r"chart_svg|plotly_html", {"figure_card.py"}),
        (r"state\.OPENED in", {"run_status.py", "trace_files.py"}),
        (r"def try_submit\(", {"run_status.py"}),
    ],
)
def test_is_in_one_place(what, where):
    found = {name_of(path) for path in (*only("app"), *only("pages")) if re.search(what, path.read_text())}
    assert found == {f"app/widgets/{name}" for name in where}
