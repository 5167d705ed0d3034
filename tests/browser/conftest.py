"""Fixtures of the browser tests; every test in this folder carries the marker ``browser``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """One browser a module: its event loop must be gone before other tests start theirs."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from tests.browser import harness

    if not Path(harness.CHROMIUM).exists():
        pytest.skip(f"no browser at {harness.CHROMIUM}; set CHROMIUM")
    with harness.browser() as started:
        yield started
