"""Long work in turns: the same job to who waits for it, and others come between."""

from __future__ import annotations

import pytest

from analysis.errors import AnalysisError
from app.compute.job import Turn
from app.compute.worker import Worker
from tests.patience import PATIENCE
from tests.unit.worker_tools import Gate, busy


@pytest.fixture
def worker():
    made = Worker()
    yield made
    made.close()


def counting(said, n, name, stop=None):
    """Work of n turns that notes each."""

    def turn(at):
        def work(job):
            said.append(f"{name}{at}")
            job.report((at + 1) / n)
            job.show(at)
            if stop is not None and at == stop[0]:
                stop[1]()
            return "end" if at + 1 == n else Turn(turn(at + 1))

        return work

    return turn(0)


def test_jobs_take_turns_and_each_ends_with_its_own_result(worker):
    said = []
    with busy(worker):
        jobs = [worker.submit(name, counting(said, 3, name), owner="ann") for name in "ab"]
        short = worker.submit("c", lambda job: said.append("c") or "short", owner="bob")
    for job in (*jobs, short):
        assert job.wait(PATIENCE)
    assert said == ["a0", "b0", "c", "a1", "b1", "a2", "b2"]
    assert [job.result for job in jobs] == ["end", "end"] and short.result == "short"
    assert all(job.fraction == 1.0 and job.work is None for job in jobs)


def test_between_turns_a_job_counts_as_the_same_one(worker):
    said, gate = [], Gate()
    job = worker.submit(
        "a", counting(said, 2, "a", (0, lambda: worker.submit("gate", gate, owner="bob"))), owner="ann"
    )
    assert gate.started.wait(PATIENCE)
    assert (job.state, job.is_live, worker.position(job), job.partial) == ("queued", True, 1, 0)
    assert worker.submit("a", counting(said, 2, "x"), owner="carol") is job
    started = job.started
    gate.go.set()
    assert job.wait(PATIENCE) and job.started == started and said == ["a0", "a1"]


def test_who_cancels_between_turns_keeps_what_was_shown(worker):
    said, gate = [], Gate()
    job = worker.submit(
        "a", counting(said, 2, "a", (0, lambda: worker.submit("gate", gate, owner="bob"))), owner="ann"
    )
    assert gate.started.wait(PATIENCE)
    worker.cancel("a", "ann")
    assert (job.state, job.partial) == ("cancelled", 0)
    gate.go.set()
    assert worker.get("gate").wait(PATIENCE) and said == ["a0"]


def test_who_cancels_during_a_turn_gets_no_other(worker):
    said = []
    job = worker.submit("a", counting(said, 3, "a", (1, lambda: worker.cancel("a", "ann"))), owner="ann")
    assert job.wait(PATIENCE)
    assert (job.state, job.partial, said) == ("cancelled", 1, ["a0", "a1"])


def test_a_later_turn_may_fail(worker):
    def fails(job):
        raise AnalysisError("No more.", "Stop here.")

    job = worker.submit("a", lambda job: Turn(fails), owner="ann")
    assert job.wait(PATIENCE) and job.state == "failed" and job.error.message == "No more."
