"""The compute worker: what a page may rely on, sentence by sentence."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import subprocess
import sys
import threading
import types
import weakref
from dataclasses import FrozenInstanceError

import pytest

from analysis.errors import AnalysisError, Cancelled, InvalidTextError, OutOfMemoryError
from app import worker as worker_module
from app.worker import Job, Worker

PATIENCE = 10.0  # seconds to wait for what happens at once unless something is broken


class Thing:
    """Something a weak reference can point to."""


class Gate:
    """Work that starts, tells so, and runs until it is let go; reports on the way when asked to."""

    def __init__(self, result="result", reports=False):
        self.started, self.go = threading.Event(), threading.Event()
        self.result, self.reports, self.runs = result, reports, 0

    def __call__(self, job):
        self.runs += 1
        job.report(0.1, "waiting at the gate")
        self.started.set()
        if self.reports:
            while not self.go.wait(0.001):
                job.report(0.1)
        assert self.go.wait(PATIENCE)
        job.report(0.2)
        return self.result


class Clock:
    """A clock that moves only when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


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
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(worker_module, "monotonic", clock)
    return clock


@pytest.fixture
def gate(worker):
    """Keep the worker busy until the gate is let go."""
    gate = Gate()
    worker.submit("gate", gate, owner="gatekeeper")
    assert gate.started.wait(PATIENCE)
    yield gate
    gate.go.set()


def run(worker, work, key="key", owner="ann"):
    job = worker.submit(key, work, owner=owner)
    assert job.wait(PATIENCE)
    return job


def fail(error):
    def work(job):
        raise error

    return work


# --- import -------------------------------------------------------------------------------------------


def test_the_import_is_light():
    code = "import app.worker, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
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
    assert job.created <= job.started <= job.ended
    assert job.elapsed() == job.ended - job.started
    assert not job.is_live and job.seconds_left() == 0.0
    assert worker.get("key") is job and worker.get("no such key") is None


def test_pages_cannot_write_to_a_job(worker):
    job = run(worker, lambda job: 1)
    with pytest.raises(FrozenInstanceError):
        job.state = "queued"


def test_waiting_gives_up_in_time(gate, worker):
    assert not worker.get("gate").wait(0.001)


def test_work_runs_in_one_daemon_thread(worker):
    first = run(worker, lambda job: threading.current_thread(), "1").result
    second = run(worker, lambda job: threading.current_thread(), "2").result
    assert first is second is not threading.current_thread()
    assert first.daemon


def test_the_fraction_stays_within_0_and_1_and_never_falls(worker):
    def work(job):
        seen = []
        for fraction in (-1.0, 0.3, 0.2, float("nan"), 0.5, 0.1, 7.0, 0.4):
            job.report(fraction)
            seen.append(job.fraction)
        return seen

    assert run(worker, work).result == [0.0, 0.3, 0.3, 0.3, 0.5, 0.5, 1.0, 1.0]


def test_an_empty_note_leaves_the_note_and_a_late_report_changes_nothing(worker):
    def work(job):
        job.report(0.1, "first")
        job.report(0.2)
        return job.note

    job = run(worker, work)
    assert job.result == "first"
    job.report(0.5, "too late")
    assert (job.fraction, job.note) == (1.0, "first")


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


# --- cancelling ---------------------------------------------------------------------------------------


def test_a_cancelled_queued_job_ends_at_once_and_never_runs(worker, gate):
    ran = []
    job = worker.submit("key", ran.append, owner="ann")
    worker.cancel("key", "ann")
    assert job.state == "cancelled" and job.ended is not None and job.elapsed() == 0.0
    assert job._work is None and job.wait(0)
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


def test_a_job_that_is_already_winding_up_is_computed_anew(worker):
    winding_up, go = threading.Event(), threading.Event()
    started = threading.Event()

    def work(job):
        started.set()
        try:
            while True:
                job.report(0.1)
        finally:
            winding_up.set()
            go.wait(PATIENCE)

    old = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    assert winding_up.wait(PATIENCE)
    new = worker.submit("key", lambda job: "new", owner="ann")
    assert new is not old and worker.position(new) == 1
    go.set()
    assert new.wait(PATIENCE) and old.wait(PATIENCE)
    assert (old.state, new.state, new.result) == ("cancelled", "done", "new")
    assert worker.get("key") is new


def test_a_job_replaced_by_one_that_was_forgotten_still_ends(worker):
    started, winding_up, go = threading.Event(), threading.Event(), threading.Event()

    def work(job):
        started.set()
        try:
            while True:
                job.report(0.1)
        finally:
            winding_up.set()
            go.wait(PATIENCE)

    old = worker.submit("key", work, owner="ann")
    assert started.wait(PATIENCE)
    worker.cancel("key", "ann")
    assert winding_up.wait(PATIENCE)
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

    def calls_back(job):  # the predicate may use the worker, even from another thread
        thread = threading.Thread(target=worker.position, args=(job,))
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return job.key.startswith("small")

    assert worker.forget(calls_back) == 2
    gc.collect()
    assert died() is None
    assert worker.get("small: a") is None and worker.get("small: b") is None
    assert worker.get("large: a") is not None and worker.get("small: live") is live
    block.go.set()
    assert live.wait(PATIENCE) and live.result == 1


# --- failures -----------------------------------------------------------------------------------------


def test_an_analysis_error_is_kept_as_it_is(worker):
    error = InvalidTextError("The text is empty.", "Paste one.")
    job = run(worker, fail(error))
    assert job.state == "failed" and job.error is error and job.result is None
    assert error.__traceback__ is None


def test_another_exception_becomes_a_sentence_and_its_traceback_is_logged(worker, caplog):
    def work(job):
        job.report(0.4, "reading layer 3 of 30")
        raise KeyError("lm_head")

    with caplog.at_level(logging.ERROR, logger="logitscope"):
        job = run(worker, work)
    assert type(job.error) is AnalysisError
    assert "KeyError" in job.error.message and "lm_head" in job.error.message
    assert "reading layer 3 of 30" in job.error.message
    assert "report it" in job.error.hint
    assert job.fraction == 0.4
    assert "Traceback" in caplog.text and 'raise KeyError("lm_head")' in caplog.text
    assert all(record.exc_info is None for record in caplog.records), "a record would pin the frames"


def test_a_message_of_many_lines_is_cut_to_its_first(worker):
    job = run(worker, fail(ValueError("first line.\nsecond line")))
    assert job.error.message.endswith("ValueError: first line.") and "second" not in job.error.message
    assert (
        run(worker, fail(ValueError()), "2").error.message == "The run stopped while computing: ValueError."
    )


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


def test_the_worker_survives_a_log_that_fails(worker, monkeypatch):
    def broken(*args):
        raise Base("the disk is full")

    monkeypatch.setattr(worker_module._log, "error", broken)
    job = run(worker, fail(ValueError("no")))
    assert job.state == "failed" and job.error.hint
    assert run(worker, lambda job: "alive", "after").result == "alive"


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


@pytest.mark.parametrize("error", [ValueError, Cancelled, InvalidTextError])
def test_frames_are_emptied_even_when_someone_keeps_the_traceback(worker, error):
    kept, pinned = [], []

    def work(job):
        tensor = Thing()
        pinned.append(weakref.ref(tensor))
        try:
            raise error("no")
        except BaseException as problem:
            kept.append(problem.__traceback__)
            raise

    job = run(worker, work)
    assert job.state == ("cancelled" if error is Cancelled else "failed")
    assert kept and pinned[0]() is None


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


# --- out of memory ------------------------------------------------------------------------------------


class FakeCuda:
    def __init__(self, available=True, broken=False):
        self.available, self.broken, self.emptied = available, broken, 0
        self.watched = lambda: None

    def is_initialized(self):
        return self.available

    def empty_cache(self):
        self.emptied += 1
        self.alive_when_emptied = self.watched()
        if self.broken:
            raise RuntimeError("device error")


class TorchOutOfMemory(RuntimeError):
    """Stands for torch.OutOfMemoryError."""


@pytest.fixture
def fake_torch(monkeypatch):
    torch = types.ModuleType("torch")
    torch.OutOfMemoryError = TorchOutOfMemory
    torch.cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        OSError("Cannot allocate memory (os error 12)"),
    ],
)
@pytest.mark.parametrize("with_torch", [True, False])
def test_running_out_of_memory_says_what_to_do(worker, monkeypatch, error, with_torch):
    if not with_torch:
        monkeypatch.delitem(sys.modules, "torch", raising=False)

    def work(job):
        job.report(0.5, "reading layer 3 of 30.")
        raise error

    job = run(worker, work)
    assert type(job.error) is OutOfMemoryError
    assert job.error.message == "The device ran out of memory while reading layer 3 of 30."
    assert job.error.hint == (
        "Shorten the text, choose a lower precision, or unload the model and try a smaller one."
    )


def test_the_error_of_torch_is_known_without_importing_torch(worker, fake_torch):
    job = run(worker, fail(TorchOutOfMemory("words that say nothing")))
    assert type(job.error) is OutOfMemoryError
    assert job.error.message == "The device ran out of memory while computing."


def test_memory_is_given_back_once_the_frames_are_empty(worker, fake_torch):
    def work(job):
        tensor = Thing()
        tensor.itself = tensor  # only the garbage collector frees it
        fake_torch.cuda.watched = weakref.ref(tensor)
        raise TorchOutOfMemory

    run(worker, work)
    assert fake_torch.cuda.emptied == 1
    assert fake_torch.cuda.alive_when_emptied is None


def test_an_out_of_memory_error_of_the_analysis_is_kept_and_memory_given_back(worker, fake_torch):
    error = OutOfMemoryError("The device ran out of memory in the head.", "Shorten the text.")
    assert run(worker, fail(error)).error is error
    assert fake_torch.cuda.emptied == 1


@pytest.mark.parametrize("cuda", [FakeCuda(available=False), FakeCuda(broken=True), None])
def test_giving_memory_back_never_hurts(worker, fake_torch, cuda):
    fake_torch.cuda = cuda
    assert type(run(worker, fail(MemoryError())).error) is OutOfMemoryError
    assert run(worker, lambda job: 1, "after").result == 1
    assert cuda is None or cuda.emptied == int(cuda.available)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes do not match")])
def test_other_errors_are_not_taken_for_out_of_memory(worker, fake_torch, error):
    assert type(run(worker, fail(error)).error) is AnalysisError
    assert fake_torch.cuda.emptied == 0


# --- the time that is left ----------------------------------------------------------------------------


def test_no_time_is_given_before_it_can_be_estimated(worker, gate, clock):
    job = worker.submit("key", lambda job: 1, owner="ann")
    assert job.seconds_left() is None, "queued"
    assert worker.get("gate").seconds_left() is None, "too early"


def test_steady_work_counts_down_truly(worker, clock):
    def work(job):
        seen = []
        for step in range(1, 101):
            clock.now += 0.6
            before = job.seconds_left()
            job.report(step / 100)
            seen.append((60 - 0.6 * step, before, job.seconds_left()))
        return seen

    seen = run(worker, work).result
    assert seen[0][2] is None and seen[1][2] is not None
    for true, _, after in seen[1:]:
        assert after == pytest.approx(true, abs=1e-6)
    falling = [value for _, before, after in seen[2:] for value in (before, after)]
    assert all(later <= sooner + 0.01 * 60 for sooner, later in itertools.pairwise(falling))
    assert seen[-1][2] == 0.0


def test_uneven_steps_do_not_make_it_jump(worker, clock):
    def work(job):
        seen = []
        for step in range(1, 61):  # layers that take 0.2 and 1.8 seconds in turn, 60 in all
            clock.now += 0.2 if step % 2 else 1.8
            job.report(step / 60)
            seen.append(job.seconds_left())
        return seen

    seen = run(worker, work).result[10:]
    for n, value in enumerate(seen, start=11):
        assert value == pytest.approx(60 - n, abs=0.12 * (60 - n) + 1)
    # the bare pace of the last step would swing between a fifth and nine fifths of the truth
    assert all(later < 1.1 * sooner + 1 for sooner, later in itertools.pairwise(seen))


def test_it_learns_a_new_pace(worker, clock):
    def work(job):
        clock.now += 1
        job.report(0.2)  # the model was already there
        for step in range(1, 61):
            clock.now += 1
            job.report(0.2 + 0.01 * step)
        return job.seconds_left()

    assert run(worker, work).result == pytest.approx(20, rel=0.1)


def test_an_overdue_report_slows_the_countdown_and_never_goes_below_0(worker, clock):
    def work(job):
        clock.now += 10
        job.report(0.5)
        seen = []
        for _ in range(100):
            clock.now += 1
            seen.append(job.seconds_left())
        return seen

    seen = run(worker, work).result
    assert seen[0] == pytest.approx(9, abs=0.1)
    assert all(later < sooner for sooner, later in itertools.pairwise(seen))
    assert seen[9] > 3 and min(seen) > 0


def test_elapsed_follows_the_clock_and_stands_still_at_the_end(worker, clock):
    def work(job):
        clock.now += 3
        return job.elapsed()

    job = run(worker, work)
    clock.now += 100
    assert (job.result, job.elapsed()) == (3, 3)


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


def test_a_job_outside_a_worker_can_be_reported_to():
    job = Job("key")
    job.report(0.5, "nobody listens")
    assert (job.fraction, job.state) == (0.0, "queued")
