"""What many need is written once: drawing a chart, asking for a model, memory that runs out."""

from __future__ import annotations

import re

import pytest

from tests.architecture.test_imports import name_of, only


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"\.(altair|plotly)_chart\(", {"figure_card.py"}),
        (r"chart_svg|plotly_html|\.document\(|[^_]figure_card\(", {"figure_card.py"}),
        (r"state\.OPENED in", {"run_status.py", "trace_files.py"}),
        (r"def ask\(", {"run_status.py"}),
    ],
)
def test_is_in_one_place(what, where):
    found = {name_of(path) for path in (*only("app"), *only("pages")) if re.search(what, path.read_text())}
    assert found == {f"app/widgets/{name}" for name in where}


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"cannot allocate memory|bad_alloc", {"analysis/out_of_memory.py"}),
        (r"torch\.OutOfMemoryError|except .*MemoryError.*RuntimeError", set()),
        (r"lock, torch\.inference_mode", {"analysis/forward/trace.py", "analysis/models/loading.py"}),
        (r"Conv1D\b.*(isinstance|__name__)|isinstance\(.*Conv1D", {"analysis/models/output_projection.py"}),
    ],
)
def test_is_in_one_place_of_all(what, where):
    paths = (*only("analysis"), *only("app"), *only("pages"))
    assert {name_of(path) for path in paths if re.search(what, path.read_text(), re.MULTILINE)} == where
