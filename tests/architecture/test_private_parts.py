"""What a library does not promise to keep is reached for in one module each, where ``tests/unit/test_upgrades.py`` watches it.

The rules, for every file but those modules:

- of transformers, what stands at its top or in ``transformers.utils``; of streamlit, ``import streamlit`` alone;
- nobody's attribute with a leading underscore but one's own, as an attribute or as its name in a string.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.test_imports import FILES, by_name, name_of

WATCHED = {f"analysis/models/{name}.py" for name in ("attention_choice", "library_parts", "linear")}
PROMISED = {
    "transformers": r"transformers(\.utils)?\.[a-zA-Z]\w*|transformers(\.utils)?",
    "streamlit": "streamlit",
}
BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}


def problems(source: str) -> list[str]:
    """Lines of a module's source that break the rules, with what is wrong."""
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in _wrong(ast.parse(source))]


def _wrong(tree: ast.AST) -> Iterator[ast.stmt | ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and not all(_promised(alias.name) for alias in node.names):
            yield node
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if not all(_promised(f"{node.module}.{alias.name}") for alias in node.names):
                yield node
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in BY_NAME:
            name = node.args[1]
            if isinstance(name, ast.Constant) and _is_private(str(name.value)):
                yield node


def _promised(dotted: str) -> bool:
    package = dotted.partition(".")[0]
    return package not in PROMISED or re.fullmatch(PROMISED[package], dotted) is not None


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@by_name([path for path in FILES if name_of(path) not in WATCHED])
def test_nothing_is_used_that_nobody_promised(path):
    assert not problems(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "from streamlit.runtime.scriptrunner import get_script_run_ctx",
        "import streamlit.runtime",
        "from streamlit import runtime",
        "from transformers.masking_utils import eager_mask",
        "import transformers.models.llama",
        "from transformers import _utils",
        "model.config._attn_implementation = 'eager'",
        "getattr(model.config, '_attn_implementation', '')",
        "st._config.get_option('server.port')",
        "torch.ops.mkldnn._linear_pointwise(a, b)",
        "torch._C",
    ],
)
def test_the_rule_finds(line):
    assert len(problems(f"def f(self, model):\n    {line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "import streamlit as st",
        "from transformers import AutoModelForCausalLM",
        "from transformers.utils import logging",
        "import transformers",
        "self._kept = cls._kept",
        "model.__class__.__name__",
        "getattr(model, 'config')",
    ],
)
def test_the_rule_allows(line):
    assert not problems(f"def f(self, cls, model):\n    {line}\n")
