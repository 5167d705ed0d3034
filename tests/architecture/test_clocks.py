"""No test reads a clock or waits a fixed time: what passes here passes on a slow and busy machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.test_imports import ROOT, imports, name_of

TESTS = sorted((ROOT / "tests").rglob("test_*.py")) + sorted((ROOT / "tests").rglob("conftest.py"))
CLOCKS = re.compile(r"performance\.now|Date\.now|wait_for_timeout|threading\.Timer")


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_reads_a_clock(path: Path) -> None:
    assert not {name for name in imports(path) if name == "time" or name.startswith(("time.", "timeit"))}
    if path.name != Path(__file__).name:
        assert not CLOCKS.findall(path.read_text())
