"""The libraries that a server imports ahead: in order, and before any work."""

from __future__ import annotations

from importlib.util import find_spec
from threading import Event

import pytest

from app.compute import libraries
from app.compute.worker import Worker
from tests.patience import PATIENCE


@pytest.fixture
def imports(monkeypatch):
    """What is asked for, in order; what is imported in a thread goes on when it may."""
    asked, may_go_on = [], Event()

    def import_module(name):
        asked.append(name)
        if name not in libraries.AT_ONCE:
            assert may_go_on.wait(PATIENCE)

    monkeypatch.setattr(libraries, "_threads", [])
    monkeypatch.setattr(libraries, "_SERVER_SECONDS", 0.0)
    monkeypatch.setattr(libraries, "import_module", import_module)
    yield asked, may_go_on
    may_go_on.set()
    for thread in libraries._threads:
        thread.join()


def test_work_begins_when_all_is_imported_and_says_what_it_waits_for(imports):
    asked, may_go_on = imports
    libraries.import_ahead()
    worker = Worker()
    job = worker.submit("key", lambda job: list(asked), owner="somebody")
    while job.note != "starting torch":
        assert job.is_live
    assert asked[:2] == ["pandas", "PIL.Image"] and set(asked[2:]) <= {"altair"}
    may_go_on.set()
    assert job.wait(PATIENCE) and job.result[2:] == ["altair", "torch", "transformers.modeling_utils"]
    worker.close()


def test_a_library_that_is_missing_keeps_no_work_back(monkeypatch):
    monkeypatch.setattr(libraries, "_threads", [])
    monkeypatch.setattr(libraries, "_SERVER_SECONDS", 0.0)
    monkeypatch.setattr(libraries, "NAMES", ("no_such_library",))
    libraries.import_ahead()
    worker = Worker()
    job = worker.submit("key", lambda job: "done without it", owner="somebody")
    assert job.wait(PATIENCE) and job.result == "done without it"
    worker.close()


def test_every_name_is_there():
    for name in (*libraries.AT_ONCE, *libraries.NAMES):
        assert find_spec(name) is not None
