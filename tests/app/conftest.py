"""The app without a browser: every test gets empty caches, its own worker, and no large model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from analysis.models import loading
from app.compute import requests as runs
from app.compute.job import Job
from app.navigation import ENTRIES
from app.widgets import card_actions, keys_and_theme
from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
NOT_OF_A_TEXT = ("write", "compare", "visual_tokens", "lessons", "papers")
PAGES = tuple(entry.slug for entry in ENTRIES if entry.slug not in NOT_OF_A_TEXT)
"""Those that draw the run of a text."""


def shown(at: AppTest) -> str:
    """Everything in captions, Markdown and notices, one after the other, as it reads."""
    kinds = ("markdown", "caption", "error", "info", "text")
    return "\n".join(str(element.value) for kind in kinds for element in at.get(kind)).replace("\\", "")


def text_field(at: AppTest, name: str) -> Any:
    """The field of text of this name: another one whenever the page fills it in."""
    return next(field for field in at.text_area if field.key.rpartition("_")[0] == name)


@pytest.fixture(autouse=True)
def _empty_caches() -> Iterator[None]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    runs.engine().worker.close()
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def _patient_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits for a small answer however long a busy machine takes; tests of a busy worker lower this."""
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", PATIENCE)


@pytest.fixture(autouse=True)
def _nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A component that draws nothing has no place among those that are counted; browser tests press its keys."""
    monkeypatch.setattr(keys_and_theme, "keys_and_theme", lambda: None)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, llama: Any) -> list[Any]:
    """Specs that were loaded. The embedded model is a tiny one; anything else is really opened."""
    asked: list[Any] = []
    really = loading.load_model

    def load_model(spec: Any) -> Any:
        asked.append(spec)
        return llama if spec.kind == "embedded" else really(spec)

    monkeypatch.setattr(loading, "load_model", load_model)
    return asked


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of all jobs that were asked for and did not exist yet."""
    keys: list[str] = []
    from app.compute.worker import Worker

    submit = Worker.submit

    def counted(self: Worker, key: str, work: Callable[[Job], Any], *, owner: str) -> Job:
        known = self.get(key)
        job = submit(self, key, work, owner=owner)
        if job is not known:
            keys.append(key)
        return job

    monkeypatch.setattr(Worker, "submit", counted)
    return keys


@pytest.fixture
def dear_lens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run never takes the lens along."""
    monkeypatch.setattr(runs, "LENS_SECONDS", -1.0)


@pytest.fixture
def open_page(loads: list[Any]) -> Callable[..., AppTest]:
    """Opens a page at an address, as a new browser tab would; runs are not waited for."""

    def go(page: str = "overview", **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=PATIENCE)
        for key, value in query.items():
            at.query_params[key.rstrip("_")] = value  # from_ is the parameter "from"
        return at.switch_page(f"../pages/{page}.py").run()

    return go


@pytest.fixture
def finish() -> Callable[[AppTest], AppTest]:
    """Waits until the worker is idle, then runs the page again, as its poll would."""

    def wait(at: AppTest) -> AppTest:
        for job in list(runs.engine().worker._jobs.values()):
            assert job.wait(PATIENCE), job
        return at.run()

    return wait


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A job that keeps the worker busy until the test lets it go; nobody waits long for it."""
    monkeypatch.setattr(runs, "PATIENCE_SECONDS", 0.2)
    gate, began = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        began.set()
        while not gate.wait(0.01):
            job.report(0.5)

    worker = runs.engine().worker
    worker.submit("blocker", work, owner="somebody else")
    assert began.wait(PATIENCE)
    yield gate
    gate.set()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the actions of every card hold, by the card's name: figures (with their ending), tables, code.

    Files are made on a click, which no test of elements presses: they are made all at once.
    """
    made = SimpleNamespace(figures={}, tables={}, codes={})

    def figure(name: str, make: Callable[[], bytes], ending: str) -> None:
        made.figures[f"{name}.{ending}"] = make()

    monkeypatch.setattr(card_actions, "figure_action", figure)
    monkeypatch.setattr(
        card_actions, "download_action", lambda name, table, printed: made.tables.update({name: table()})
    )
    monkeypatch.setattr(card_actions, "code_action", lambda name, code: made.codes.update({name: code}))
    return made
