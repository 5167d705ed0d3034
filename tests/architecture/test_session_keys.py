"""Keys of the session and of the URL are named in ``app/state.py`` alone.

The rules, which hold for the source of every other module of ``app`` and ``pages``:

- What is read from or written to the session or the URL has a key of ``state``: a constant, an f-string that
  begins with one, a call of a function there, or a parameter that a caller filled by these rules.
- A widget that is in the URL has such a key too.
- A widget that nobody reads may have a key written at its place, but never one that ``state`` holds, and never
  one by way of a constant of its module.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from app import state
from tests.architecture.test_imports import FILES, by_name, name_of

STORES = ("session_state", "query_params")
READERS = {"get", "pop", "setdefault"}
KEYS = {name: value for name, value in vars(state).items() if name.isupper() and isinstance(value, str)}
OTHERS = [
    path for path in FILES if name_of(path).startswith(("app/", "pages/")) and name_of(path) != "app/state.py"
]


def is_store(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in STORES


def problems(source: str) -> list[str]:
    """Lines of a module's source that break the rules, with what is wrong."""
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in _wrong(ast.parse(source), frozenset())]


def _wrong(node: ast.AST, parameters: frozenset[str]) -> Iterator[ast.expr]:
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        own = node.args
        parameters |= {arg.arg for arg in (*own.posonlyargs, *own.args, *own.kwonlyargs)}
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Subscript) and is_store(node.value):
        yield from _unless(_is_key(node.slice, parameters), node)
        children = [node.slice]
    elif isinstance(node, ast.Compare) and is_store(node.comparators[-1]):
        yield from _unless(_is_key(node.left, parameters), node)
        children = [node.left]
    elif isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and is_store(function.value) and function.attr in READERS:
            yield from _unless(_is_key(node.args[0], parameters), node)
            children = list(node.args)
        else:
            yield from _unless(_is_widget(node, parameters), node)
    elif is_store(node):
        assert isinstance(node, ast.expr)
        yield node  # as an attribute, under another name, or as a whole: no rule could follow it
        return
    for child in children:
        yield from _wrong(child, parameters)


def _unless(good: bool, node: ast.expr) -> Iterator[ast.expr]:
    if not good:
        yield node


def _is_key(key: ast.expr, parameters: frozenset[str]) -> bool:
    """Whether an expression is a key of ``state``."""
    if isinstance(key, ast.JoinedStr):
        first = key.values[0]
        return isinstance(first, ast.FormattedValue) and _is_key(first.value, parameters)
    if isinstance(key, ast.Call):
        key = key.func
    if isinstance(key, ast.Attribute):
        return isinstance(key.value, ast.Name) and key.value.id == "state"
    return isinstance(key, ast.Name) and key.id in parameters


def _is_widget(call: ast.Call, parameters: frozenset[str]) -> bool:
    """Whether the key of a call is one that a widget may have; calls without one are none."""
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    key = arguments.get("key")
    in_url = "bind" in arguments or getattr(call.func, "id", "") == "choose"
    if in_url and (key is None or not _is_key(key, parameters)):
        return False
    if isinstance(key, ast.Constant):
        return key.value not in KEYS.values()
    return not isinstance(key, ast.Name) or key.id in parameters


@by_name(OTHERS)
def test_keys_are_named_in_state_alone(path):
    assert not problems(path.read_text())


def test_every_key_has_one_name_and_is_used():
    assert not [value for value, times in Counter(KEYS.values()).items() if times > 1]
    everything = "\n".join(path.read_text() for path in OTHERS)
    assert not [name for name in KEYS if not re.search(rf"state\.{name}\b", everything)]


@pytest.mark.parametrize(
    "line",
    [
        'st.session_state["other"] = 1',
        'st.session_state.get("other")',
        "st.session_state.other = 1",
        '"other" in st.session_state',
        "st.session_state[OTHER]",
        "get = st.session_state.get",
        'st.session_state[f"other_{state.RUN}"]',
        'st.query_params["other"]',
        'del st.session_state["other"]',
        'st.text_input("What", key=OTHER)',
        'st.text_input("What", key="model")',
        'st.text_input("What", key="other", bind="query-params")',
        'choose("What", (1, 2), key="other")',
        'st.text_input("What", key=f"other_{n}", bind="query-params")',
    ],
)
def test_the_rule_finds(line):
    assert len(problems(f"def draw(n):\n    {line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "st.session_state[state.RUN] = 1",
        "st.session_state.pop(state.RUN, None)",
        "state.RUN in st.session_state",
        'st.session_state[f"{state.RUN}_{n}"]',
        "st.session_state.get(state.strip_selection(key))",
        "st.session_state.get(key)",
        'st.text_input("What", key=state.SOURCE, bind="query-params")',
        'st.text_input("What", key="nobody_reads_it")',
        'st.text_input("What", key=key, bind="query-params")',
        "sorted(names, key=lambda name: len(name))",
        "sorted(names, key=names.index)",
    ],
)
def test_the_rule_allows(line):
    assert not problems(f"def draw(key, n, names):\n    {line}\n")
