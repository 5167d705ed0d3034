"""The compute worker: what a page may rely on, sentence by sentence."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import weakref

import pytest

from analysis.errors import AnalysisError, Cancelled, OutOfMemoryError
from app.compute.worker import Worker
from tests.patience import PATIENCE
from tests.unit.worker_tools import Gate, Thing, busy, fail, run


@pytest.fixture
def make():
    made = []

    def build(**options):
        made.append(Worker(**options))
        return made[-1]

    yield build
    for worker in made:
        worker.close()


@pytest.fixture
def worker(make):
    return make()


@pytest.fixture
def gate(worker):
    with busy(worker) as gate:
        yield gate


# --- import -------------------------------------------------------------------------------------------


def test_the_import_is_light():
    code = "import app.compute.worker, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    assert not {"torch", "streamlit", "transformers", "numpy"} & set(json.loads(done.stdout))


# --- one job ------------------------------------------------------------------------------------------


def test_a_job_goes_from_queued_through_running_to_done(worker, gate):
    second = Gate(result=42)
    job = worker.submit("key", second, owner="ann")
    assert (job.key, job.state, job.fraction, job.note, job.result) == ("key", "queued", 0.0, "", None)
    assert (job.started, job.ended, job.elapsed(), job.owners) == (None, None, 0.0, {"ann"})
    assert job.is_live and job.error is None
    gate.go.set()
    assert second.started.wait(PATIENCE)
    assert (job.state, job.fraction, job.note) == ("running", 0.1, "waiting at the gate")
    assert job.is_live and job.result is None and job.elapsed() >= 0
    second.go.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.fraction, job.result, job.error) == ("done", 1.0, 42, None)
    assert job.started <= job.ended
    assert job.elapsed() == job.ended - job.started
    assert not job.is_live and job.seconds_left() == 0.0
    assert worker.get("key") is job and worker.get("no such key") is None


def test_waiting_gives_up_in_time(gate, worker):
    assert not worker.get("gate").wait(0.001)


def test_work_runs_in_one_daemon_thread(worker):
    first = run(worker, lambda job: threading.current_thread(), "1").result
    second = run(worker, lambda job: threading.current_thread(), "2").result
    assert first is second is not threading.current_thread()
    assert first.daemon


def test_jobs_run_first_come_first_served_and_know_their_position(worker, gate):
    order = []
    jobs = [worker.submit(f"{n}", lambda job: order.append(job.key), owner=f"owner {n}") for n in range(5)]
    assert [worker.position(job) for job in jobs] == [1, 2, 3, 4, 5]
    assert worker.position(worker.get("gate")) == 0
    worker.cancel("1", "owner 1")
    assert [worker.position(job) for job in jobs] == [1, 0, 2, 3, 4]
    gate.go.set()
    assert all(job.wait(PATIENCE) for job in jobs)
    assert order == ["0", "2", "3", "4"]
    assert [worker.position(job) for job in jobs] == [0] * 5


# --- the same key is the same job ---------------------------------------------------------------------


def test_the_same_key_is_the_same_job_while_queued_running_and_done(worker, gate):
    work = Gate(result=object())
    job = worker.submit("key", work, owner="ann")
    assert worker.submit("key", work, owner="bob") is job, "queued"
    gate.go.set()
    assert work.started.wait(PATIENCE)
    assert worker.submit("key", work, owner="cem") is job, "running"
    work.go.set()
    assert job.wait(PATIENCE)
    assert worker.submit("key", work, owner="dan") is job, "done"
    assert job.owners == {"ann", "bob", "cem", "dan"}
    assert work.runs == 1


def test_failed_and_cancelled_jobs_run_anew(worker, gate):
    gate.go.set()
    failed = run(worker, fail(ValueError("no")))
    again = run(worker, lambda job: "yes")
    assert (failed.state, again.state, again.result) == ("failed", "done", "yes")
    assert again is not failed and worker.get("key") is again

    work = Gate()
    worker.submit("block", work, owner="ann")
    cancelled = worker.submit("other", lambda job: 1, owner="ann")
    worker.cancel("other", "ann")
    work.go.set()
    again = run(worker, lambda job: 2, "other")
    assert (cancelled.state, again.state, again.result) == ("cancelled", "done", 2)


def test_eight_threads_asking_for_one_key_compute_it_once(worker):
    runs, jobs, barrier = [], [], threading.Barrier(8)

    def ask(owner):
        barrier.wait(PATIENCE)
        for _ in range(50):
            jobs.append(worker.submit("key", lambda job: runs.append(owner), owner=owner))

    threads = [threading.Thread(target=ask, args=(f"owner {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert jobs[0].wait(PATIENCE)
    assert len(runs) == 1 and len(jobs) == 400
    assert all(job is jobs[0] for job in jobs)
    assert len(jobs[0].owners) == 8


# --- bounds -------------------------------------------------------------------------------------------


def test_a_full_queue_is_refused_with_a_hint(make):
    worker, gate = make(max_queue=2), Gate()
    worker.submit("gate", gate, owner="ann")
    assert gate.started.wait(PATIENCE)
    first = worker.submit("1", lambda job: 1, owner="bob")
    worker.submit("2", lambda job: 2, owner="cem")
    with pytest.raises(AnalysisError) as refused:
        worker.submit("3", lambda job: 3, owner="dan")
    assert "queue is full" in refused.value.message and "2 runs" in refused.value.message
    assert refused.value.hint.endswith(".")
    assert worker.get("3") is None
    assert worker.submit("1", lambda job: 1, owner="dan") is first, "joining adds nothing to the queue"
    worker.cancel("2", "cem")
    worker.submit("3", lambda job: 3, owner="dan")
    gate.go.set()


def test_one_session_cannot_take_the_whole_queue(make):
    worker, gate = make(per_owner=2), Gate()
    running = worker.submit("gate", gate, owner="ann")
    assert gate.started.wait(PATIENCE)
    worker.submit("1", lambda job: 1, owner="ann")
    with pytest.raises(AnalysisError, match="already have 2 runs") as refused:
        worker.submit("2", lambda job: 2, owner="ann")
    assert refused.value.hint
    other = worker.submit("2", lambda job: 2, owner="bob")
    gate.go.set()
    assert running.wait(PATIENCE) and other.wait(PATIENCE)
    assert run(worker, lambda job: 3, "3", "ann").result == 3, "ended jobs do not count"


def test_finished_results_are_bounded_and_the_least_recently_used_goes_first(make):
    worker = make(keep=3)
    for key in "abc":
        run(worker, lambda job: job.key, key)
    worker.get("a")  # used after b and c
    run(worker, lambda job: "d", "d")
    assert [worker.get(key) is not None for key in "abcd"] == [True, False, True, True]
    worker.submit("a", lambda job: 1, owner="bob")  # asking again is a use too
    run(worker, lambda job: "e", "e")
    assert [worker.get(key) is not None for key in "acde"] == [True, False, True, True]


def test_live_jobs_are_never_trimmed_and_failures_push_no_result_out(make):
    worker = make(keep=1, per_owner=20)
    run(worker, lambda job: "kept", "kept")
    for n in range(3):
        run(worker, fail(ValueError("no")), f"failed {n}")
    assert worker.get("kept") is not None
    assert [worker.get(f"failed {n}") is not None for n in range(3)] == [False, False, True]

    gate = Gate()
    worker.submit("gate", gate, owner="ann")
    assert gate.started.wait(PATIENCE)
    jobs = [worker.submit(f"{n}", lambda job: job.key, owner="ann") for n in range(6)]
    for n in range(6):
        assert worker.get(f"{n}") is jobs[n]
    gate.go.set()
    assert all(job.wait(PATIENCE) and job.state == "done" for job in jobs)
    assert [worker.get(f"{n}") is not None for n in range(6)] == [False] * 5 + [True]


def test_forget_removes_matching_results_and_no_live_job(worker, gate):
    gate.go.set()
    for key in ("small: a", "small: b", "large: a"):
        run(worker, lambda job: Thing(), key)
    block = Gate()
    worker.submit("block", block, owner="ann")
    assert block.started.wait(PATIENCE)
    live = worker.submit("small: live", lambda job: 1, owner="ann")
    died = weakref.ref(worker.get("small: a").result)

    def small(job):  # the predicate may ask the worker
        return job.key.startswith("small") and worker.position(job) == 0

    assert worker.forget(small) == 2
    gc.collect()
    assert died() is None
    assert worker.get("small: a") is None and worker.get("small: b") is None
    assert worker.get("large: a") is not None and worker.get("small: live") is live
    block.go.set()
    assert live.wait(PATIENCE) and live.result == 1


# --- failures -----------------------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Base(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Base("b"), Unprintable(), StopIteration()]
)
def test_the_worker_survives_whatever_the_work_raises(worker, error):
    job = run(worker, fail(error))
    assert job.state == "failed" and type(error).__name__ in job.error.message
    assert run(worker, lambda job: "alive", "after").result == "alive"


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError("No memory.", "Shorten the text.")])
def test_memory_is_freed_once_the_frames_are_empty(worker, monkeypatch, error):
    pinned, freed = [], []
    monkeypatch.setattr("app.compute.worker.free_memory", lambda: freed.append(pinned[0]()))

    def work(job):
        tensor = Thing()
        pinned.append(weakref.ref(tensor))
        raise error

    job = run(worker, work)
    assert type(job.error) is OutOfMemoryError and freed == [None]


def test_the_failure_says_what_was_being_done(worker):
    def work(job):
        job.report(0.4, "reading layer 3 of 30")
        raise KeyError("lm_head")

    job = run(worker, work)
    assert job.error.message == "The run stopped while reading layer 3 of 30: KeyError: 'lm_head'."
    assert job.fraction == 0.4 and job.result is None


def test_work_may_stop_by_itself(worker):
    assert run(worker, fail(Cancelled())).state == "cancelled"


@pytest.mark.parametrize("kind", ["plain", "analysis", "chained", "group", "cancelled"])
def test_nothing_in_the_frames_of_a_failure_stays_alive(worker, kind):
    pinned = []

    def inner(kind):
        tensor = Thing()
        pinned.append(weakref.ref(tensor))
        if kind == "cancelled":
            raise Cancelled
        if kind == "analysis":
            raise AnalysisError("The model is odd.", "Try another.")
        raise ValueError("no")

    def work(job):
        activations = Thing()
        pinned.append(weakref.ref(activations))
        if kind == "chained":
            try:
                inner(kind)
            except ValueError as error:
                raise AnalysisError("It went wrong.", "Try again.") from error
        elif kind == "group":
            errors = []
            try:
                inner(kind)
            except ValueError as error:
                errors.append(error)
            raise AnalysisError("Several things went wrong.", "Try again.") from ExceptionGroup(
                "many", errors
            )
        inner(kind)

    job = run(worker, work)
    assert job.state in ("failed", "cancelled")
    assert [ref() for ref in pinned] == [None] * len(pinned)  # without help from the garbage collector
    assert len(pinned) >= 2


@pytest.mark.parametrize("ending", ["done", "failed", "cancelled"])
def test_the_work_is_dropped_when_it_has_ended(worker, gate, ending):
    class Work(Thing):
        def __call__(self, job):
            if ending == "failed":
                raise ValueError("no")

    work = Work()
    dropped = weakref.ref(work)
    job = worker.submit("key", work, owner="ann")
    del work
    assert dropped() is not None
    if ending == "cancelled":
        worker.cancel("key", "ann")
    gate.go.set()
    assert job.wait(PATIENCE) and job.state == ending
    run(worker, lambda job: 1, "after")  # the thread has left the frame of the work
    assert dropped() is None


def test_the_idle_thread_holds_no_result(worker):
    job = run(worker, lambda job: Thing())
    result = weakref.ref(job.result)
    worker.forget(lambda job: True)
    del job
    run(worker, lambda job: 1, "after")
    assert result() is None


# --- closing ------------------------------------------------------------------------------------------


def test_closing_cancels_everything_and_ends_the_thread(make):
    worker, work = make(), Gate(reports=True)
    running = worker.submit("running", work, owner="ann")
    assert work.started.wait(PATIENCE)
    queued = worker.submit("queued", lambda job: 1, owner="ann")
    worker.close(PATIENCE)
    assert (running.state, queued.state) == ("cancelled", "cancelled")
    assert not worker._thread.is_alive()
    with pytest.raises(AnalysisError, match="shut down") as refused:
        worker.submit("new", lambda job: 1, owner="ann")
    assert refused.value.hint
    worker.close()


def test_an_idle_worker_closes_and_keeps_its_results_readable(make):
    worker = make()
    job = run(worker, lambda job: 1)
    worker.close(PATIENCE)
    assert not worker._thread.is_alive()
    assert worker.get("key") is job


def test_work_may_close_the_worker(make):
    worker = make()
    assert run(worker, lambda job: worker.close()).state == "done"
    worker._thread.join(PATIENCE)
    assert not worker._thread.is_alive()


def test_closing_does_not_wait_for_work_that_does_not_report(make):
    worker, work = make(), Gate()
    job = worker.submit("key", work, owner="ann")
    assert work.started.wait(PATIENCE)
    worker.close(0.01)
    assert job.is_stopping
    work.go.set()
    assert job.wait(PATIENCE) and job.state == "cancelled"


def test_a_finalizer_that_calls_back_does_not_lock_up(make):
    worker = make(keep=1)

    class Result(Thing):
        def __del__(self):
            worker.drop_owner("ann")

    run(worker, lambda job: Result(), "1")
    run(worker, lambda job: Result(), "2")  # trims the first, in the worker thread
    assert worker.forget(lambda job: True) == 1
    gc.collect()
    assert run(worker, lambda job: "alive", "3").result == "alive"
