"""Fixtures of the browser tests; every test in this folder carries the marker ``browser``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the demo page of a component, the ``DEMO`` of a test module."""
    from tests.browser import harness

    with harness.server(request.module.DEMO) as base:
        yield base


@pytest.fixture
def visit(
    chromium: object, demo: str, request: pytest.FixtureRequest
) -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Opens one case of the demo page, drawn when its ``READY`` is there; also what the page did besides."""
    from tests.browser import harness

    with ExitStack() as stack:

        def go(case: str, *, ready: bool = True, **context: Any) -> tuple[Any, Any]:
            page = stack.enter_context(harness.page(chromium, **context))
            seen = harness.instrument(page)
            page.goto(f"{demo}/?case={case}")
            harness.wait_done(page)
            if ready:
                page.wait_for_selector(request.module.READY)
            return page, seen

        yield go
