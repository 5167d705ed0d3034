"""Every import in the notebook lines that a card shows can be done."""

from __future__ import annotations

import ast
import importlib
import re

from tests.architecture.test_imports import only

IMPORT = re.compile(r"^from (analysis[\w.]*) import (\w+(?:, \w+)*)$", re.M)


def test_what_a_card_imports_is_there():
    found = set()
    for path in only("app"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {
                    (module, name)
                    for module, names in IMPORT.findall(node.value)
                    for name in names.split(", ")
                }
    assert len(found) >= 12
    for module, name in found:
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")
