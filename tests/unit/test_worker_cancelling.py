"""Stopping work: who may, when it takes effect, and what becomes of the job."""

from __future__ import annotations

import threading

import pytest

from analysis.errors import Cancelled
from app.compute.worker import Worker
from tests.patience import PATIENCE
from tests.unit.worker_tools import Gate, busy, run


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.close()


@pytest.fixture
def gate(worker):
    with busy(worker) as gate:
        yield gate


def test_a_cancelled_queued_job_ends_at_once_and_never_runs(worker, gate):
    ran = []
    job = worker.submit("key", ran.append, owner="ann")
    worker.cancel("key", "ann")
    assert job.state == "cancelled" and job.ended is not None and job.elapsed() == 0.0
    assert job.work is None and job.wait(0)
    gate.go.set()
    run(worker, lambda job: 1, "after")
    assert ran == []


def test_a_running_job_stops_at_its_next_report(worker):
    work = Gate(reports=True)
    job = worker.submit("key", work, owner="ann")
    assert work.started.wait(PATIENCE)
    assert not job.is_stopping
    worker.cancel("key", "ann")
    assert job.wait(PATIENCE)
    assert (job.state, job.result, job.error, job.fraction) == ("cancelled", None, None, 0.1)
    assert not job.is_stopping


def test_between_two_reports_a_cancelled_job_is_stopping(worker, gate):
    job = worker.get("gate")
    worker.cancel("gate", "gatekeeper")
    assert job.is_stopping and job.state == "running"
    gate.go.set()
    assert job.wait(PATIENCE)
    assert job.state == "cancelled"


def test_work_stops_only_when_no_owner_is_left(worker, gate):
    job = worker.submit("gate", gate, owner="ann")
    worker.cancel("gate", "gatekeeper")
    assert job.owners == {"ann"} and not job.is_stopping
    worker.cancel("gate", "a stranger")
    worker.cancel("no such key", "ann")
    assert not job.is_stopping
    gate.go.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.result) == ("done", "result")


def test_cancelling_a_finished_job_keeps_its_result(worker):
    job = run(worker, lambda job: 1)
    worker.cancel("key", "ann")
    assert (job.state, job.result, job.owners) == ("done", 1, frozenset())
    assert worker.get("key") is job


def test_a_cancel_that_comes_after_the_last_report_leaves_a_result(worker):
    started, go = threading.Event(), threading.Event()

    def work(job):
        started.set()
        go.wait(PATIENCE)
        return "finished anyway"

    job = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    go.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.result) == ("done", "finished anyway")


def test_a_job_asked_to_stop_goes_on_when_someone_wants_it_again(worker, gate):
    job = worker.get("gate")
    worker.cancel("gate", "gatekeeper")
    assert worker.submit("gate", gate, owner="ann") is job
    gate.go.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.owners, gate.runs) == ("done", {"ann"}, 1)


def winding_up(worker):
    """A cancelled job that is still putting things back, and what lets it end."""
    started, stopped, go = threading.Event(), threading.Event(), threading.Event()

    def work(job):
        started.set()
        try:
            while True:
                job.report(0.1)
        finally:
            stopped.set()
            go.wait(PATIENCE)

    job = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    assert stopped.wait(PATIENCE)
    return job, go


def test_a_job_that_is_already_winding_up_is_computed_anew(worker):
    old, go = winding_up(worker)
    new = worker.submit("key", lambda job: "new", owner="ann")
    assert new is not old and worker.position(new) == 1
    go.set()
    assert new.wait(PATIENCE) and old.wait(PATIENCE)
    assert (old.state, new.state, new.result) == ("cancelled", "done", "new")
    assert worker.get("key") is new


def test_a_job_replaced_by_one_that_was_forgotten_still_ends(worker):
    old, go = winding_up(worker)
    worker.submit("key", lambda job: "new", owner="ann")
    worker.cancel("key", "ann")
    assert worker.forget(lambda job: True) == 1
    go.set()
    assert old.wait(PATIENCE) and old.state == "cancelled"
    assert worker.get("key") is None
    assert run(worker, lambda job: "alive", "after").result == "alive"


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_work_that_swallows_the_stop_still_counts_as_cancelled(worker, ending):
    started = threading.Event()

    def work(job):
        try:
            while True:
                started.set()
                job.report(0.1)
        except Cancelled:
            if ending == "raises":
                raise RuntimeError("while putting hooks back") from None
            return "half a result"

    job = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    assert job.wait(PATIENCE)
    assert (job.state, job.result, job.error) == ("cancelled", None, None)


def test_an_except_exception_in_the_work_does_not_swallow_the_stop(worker):
    started = threading.Event()

    def work(job):
        while True:
            started.set()
            try:
                job.report(0.1)
            except Exception:  # noqa: BLE001 - the point of the test
                pytest.fail("swallowed")

    job = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    assert job.wait(PATIENCE) and job.state == "cancelled"


def test_reporting_and_cancelling_at_once_does_not_lock_up(worker):
    for n in range(30):
        started = threading.Event()

        def work(job, started=started):
            for step in range(10**9):
                job.report(step / 1e9, "busy")
                started.set()

        job = worker.submit(f"{n}", work, owner="ann")
        assert started.wait(PATIENCE)
        threads = [threading.Thread(target=worker.cancel, args=(f"{n}", "ann")) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert job.wait(PATIENCE) and job.state == "cancelled"
        for thread in threads:
            thread.join(PATIENCE)


def test_a_closed_session_stops_what_only_it_wanted(worker, gate):
    worker.submit("gate", gate, owner="ann")
    shared = worker.submit("shared", lambda job: "shared", owner="ann")
    worker.submit("shared", lambda job: "shared", owner="bob")
    alone = worker.submit("alone", lambda job: "alone", owner="ann")
    worker.drop_owner("ann")
    worker.drop_owner("nobody")
    assert alone.state == "cancelled" and shared.state == "queued"
    assert shared.owners == {"bob"} and worker.get("gate").owners == {"gatekeeper"}
    gate.go.set()
    assert shared.wait(PATIENCE) and shared.result == "shared"
    worker.drop_owner("bob")
    assert worker.get("shared") is shared and shared.result == "shared", "results outlive their owners"


def test_a_closed_session_stops_its_running_job(worker):
    work = Gate(reports=True)
    job = worker.submit("key", work, owner="ann")
    assert work.started.wait(PATIENCE)
    worker.drop_owner("ann")
    assert job.wait(PATIENCE) and job.state == "cancelled"
