"""A job on its own: reports, and the time it says is left."""

from __future__ import annotations

import itertools

import pytest

from analysis.errors import Cancelled
from app.compute import job as jobs
from app.compute.job import Job


class Clock:
    """A clock that moves only when told."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs, "monotonic", clock)
    return clock


@pytest.fixture
def job(clock):
    job = Job("key")
    job.begin()
    return job


# --- reports ------------------------------------------------------------------------------------------


def test_the_fraction_stays_within_0_and_1_and_never_falls(job):
    seen = []
    for fraction in (-1.0, 0.3, 0.2, float("nan"), 0.5, 0.1, 7.0, 0.4):
        job.report(fraction)
        seen.append(job.fraction)
    assert seen == [0.0, 0.3, 0.3, 0.3, 0.5, 0.5, 1.0, 1.0]


def test_an_empty_note_leaves_the_note_and_a_late_report_changes_nothing(job):
    job.report(0.1, "first")
    job.report(0.2)
    assert job.note == "first"
    job.end("done", "result")
    job.report(0.5, "too late")
    assert (job.fraction, job.note, job.result) == (1.0, "first", "result")


def test_a_job_that_has_not_begun_takes_no_report():
    job = Job("key")
    job.report(0.5, "nobody listens")
    assert (job.fraction, job.note, job.state) == (0.0, "", "queued")


def test_a_report_stops_the_work_once_asked_to(job):
    job.report(0.4)
    job.stop_requested = True
    assert job.is_stopping and not job.stop_noticed
    with pytest.raises(Cancelled):
        job.report(0.5)
    assert job.stop_noticed and job.fraction == 0.4


def test_a_failed_job_keeps_its_fraction(job):
    job.report(0.4)
    job.end("failed")
    assert job.fraction == 0.4 and not job.is_live and job.wait(0)


# --- the time that is left ----------------------------------------------------------------------------


def test_no_time_is_given_before_it_can_be_estimated(job, clock):
    assert Job("queued").seconds_left() is None
    assert job.seconds_left() is None
    clock.now += 0.4
    job.report(0.5)
    assert job.seconds_left() is None, "too early"
    clock.now += 9.6
    job.report(0.51)
    assert job.seconds_left() > 0
    job.end("done")
    assert job.seconds_left() == 0.0


def test_steady_work_counts_down_truly(job, clock):
    seen = []
    for step in range(1, 101):
        clock.now += 0.6
        before = job.seconds_left()
        job.report(step / 100)
        seen.append((60 - 0.6 * step, before, job.seconds_left()))
    assert seen[0][2] is None and seen[1][2] is not None
    for true, _, after in seen[1:]:
        assert after == pytest.approx(true, abs=1e-6)
    falling = [value for _, before, after in seen[2:] for value in (before, after)]
    assert all(later <= sooner + 0.01 * 60 for sooner, later in itertools.pairwise(falling))
    assert seen[-1][2] == 0.0


def test_uneven_steps_do_not_make_it_jump(job, clock):
    seen = []
    for step in range(1, 61):  # layers that take 0.2 and 1.8 seconds in turn, 60 in all
        clock.now += 0.2 if step % 2 else 1.8
        job.report(step / 60)
        seen.append(job.seconds_left())
    seen = seen[10:]
    for n, value in enumerate(seen, start=11):
        assert value == pytest.approx(60 - n, abs=0.12 * (60 - n) + 1)
    # the bare pace of the last step would swing between a fifth and nine fifths of the truth
    assert all(later < 1.1 * sooner + 1 for sooner, later in itertools.pairwise(seen))


def test_it_learns_a_new_pace(job, clock):
    clock.now += 1
    job.report(0.2)  # the model was already there
    for step in range(1, 61):
        clock.now += 1
        job.report(0.2 + 0.01 * step)
    assert job.seconds_left() == pytest.approx(20, rel=0.1)


def test_what_comes_before_the_work_is_not_its_pace(job, clock):
    for note in ("starting torch", "loading the model", "layer 0/30"):
        job.report(0.0, note)
        clock.now += 30 if note != "layer 0/30" else 0.2
    job.report(0.1, "layer 1/30")
    assert job.seconds_left() is None, "too early, however long the model took"
    clock.now += 0.4
    job.report(0.3, "layer 3/30")
    assert job.seconds_left() == pytest.approx(1.4) and job.elapsed() == pytest.approx(60.6)


def test_an_overdue_report_slows_the_countdown_and_never_goes_below_0(job, clock):
    clock.now += 10
    job.report(0.5)
    seen = []
    for _ in range(100):
        clock.now += 1
        seen.append(job.seconds_left())
    assert seen[0] == pytest.approx(9, abs=0.1)
    assert all(later < sooner for sooner, later in itertools.pairwise(seen))
    assert seen[9] > 3 and min(seen) > 0


def test_elapsed_follows_the_clock_and_stands_still_at_the_end(job, clock):
    clock.now += 3
    assert job.elapsed() == 3
    job.end("done")
    clock.now += 100
    assert job.elapsed() == 3
