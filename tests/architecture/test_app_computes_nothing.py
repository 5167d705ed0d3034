"""A number on screen is worked out in ``analysis``, where a test reaches it: the app only words and places it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.test_imports import name_of, only

DRAWN = sorted([*only("app/panels"), *only("app/widgets"), *only("pages"), *(p for p in only("app") if p.parent.name == "app")])  # fmt: skip
MAY_HOLD_ARRAYS = {
    "app/panels/entropy_collapse/backcopy/view.py": "draws the example sequence with a generator",
}
ARITHMETIC = re.compile(
    r"(nan)?(arg)?(max|min)|argsort|(nan)?(mean|median|sum)|idx(max|min)|abs|average|bincount|corr|cov|cum\w+|diff|divide"
    r"|dot|exp|groupby|histogram|linspace|log\w*|maximum|minimum|meshgrid|pct_change|percentile|power|prod|quantile|rank"
    r"|rolling|softmax|sqrt|std|var|unravel_index"
)


def computed(source: str) -> list[str]:
    """Calls of arithmetic on arrays and tables in a source: methods and functions of modules, not Python's own."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Attribute) and ARITHMETIC.fullmatch(call.func.attr)
    ]


def needs_numpy(source: str) -> bool:
    """Whether a source imports numpy for more than types."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    modules = [
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return any(name.partition(".")[0] in ("numpy", "scipy", "torch") for name in modules)


def test_the_search_finds_arithmetic():
    found = computed("np.mean(x)\nframe['a'].sum()\n(x - y).max(0)\nmax(1, 2)\nsum(x)\nst.metric(x)\nx.mean")
    assert found == ["np.mean(x)", "frame['a'].sum()", "(x - y).max(0)"]
    assert needs_numpy("def f():\n    from numpy.linalg import norm") and needs_numpy("import numpy as np")
    assert not needs_numpy("if TYPE_CHECKING:\n    import numpy as np\nimport pandas as pd")
    assert len(DRAWN) > 50


@pytest.mark.parametrize("path", DRAWN, ids=name_of)
def test_what_is_drawn_is_computed_elsewhere(path):
    source = path.read_text()
    if name_of(path) not in MAY_HOLD_ARRAYS:
        assert not computed(source) and not needs_numpy(source)
