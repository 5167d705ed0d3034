"""What a plan promises, against runs of the embedded model that were recorded: no clock in here."""

from __future__ import annotations

import pytest
import torch

from analysis.forward.plan import plan_run
from analysis.models.speed import Speed, needed_by_part

pytestmark = pytest.mark.embedded
FACTOR = 1.5
# Two cores, two threads, torch 2.13, six other programs at work: tokens; body, seconds and CPU seconds; head, the same;
# seconds of attention; CPU seconds of spectra.
RECORDED = [
    (64, 2.083, 0.481, 0.155, 0.068, 0.37, 0.041),
    (64, 1.684, 0.411, 0.143, 0.065, 0.279, 0.038),
    (64, 1.716, 0.435, 0.162, 0.074, 0.553, 0.039),
    (128, 4.007, 0.771, 0.296, 0.134, 0.679, 0.083),
    (255, 6.746, 1.28, 0.575, 0.248, 1.019, 0.156),
    (512, 9.418, 2.394, 1.075, 0.497, 1.255, 0.593),
    (1024, 15.716, 4.629, 2.003, 0.927, 2.967, 0.972),
    (2048, 23.892, 9.903, 3.595, 1.774, 8.296, 1.349),
]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def needed(record):
    _, body, body_cpu, head, head_cpu, attention, spectra = record
    wall, cpu = {"body": body, "head": head, "lens": 0.0}, {"body": body_cpu, "head": head_cpu, "lens": 0.0}
    return needed_by_part(wall, cpu, attention, spectra, torch.device("cpu"))


@pytest.mark.parametrize("learnt", RECORDED, ids=lambda r: str(r[0]))
def test_after_one_run_every_other_is_foretold(smollm2, learnt):
    """Also after one that other programs slowed up to ten times; the whole, the body and the head."""
    speed = Speed(1e11)
    speed.learn(plan_run(smollm2, learnt[0]).work, needed(learnt))
    for record in RECORDED:
        work, took = plan_run(smollm2, record[0]).work, needed(record)
        head = {"head": work.pop("head")}
        for name, part, seconds in (
            ("head", head, took.pop("head")),
            ("body", work, sum(took.values())),
            ("run", work | head, sum(needed(record).values())),
        ):
            promised = speed.seconds(part)
            assert promised / FACTOR < seconds < promised * FACTOR, f"{name} of {record[0]} tokens"


def test_parts_add_up():
    record = RECORDED[5]
    found = needed(record)
    _, wall, cpu, _, head_cpu, attention, spectra = record
    body = 1.25 * cpu / 2
    assert found["body"] + found["attention"] + found["spectra"] == pytest.approx(body)
    assert found["spectra"] == pytest.approx(body * spectra / cpu)
    assert found["attention"] == pytest.approx((body - found["spectra"]) * attention / wall)
    assert found["head"] == pytest.approx(1.25 * head_cpu / 2)
    idle = needed((512, 1.4, 2.614, 0.3, 0.579, 0.2, 0.609))  # nobody else: the time it took
    assert sum(idle.values()) == pytest.approx(1.7)
    none = needed_by_part(
        {"body": 0, "head": 1, "lens": 1}, {"body": 0, "head": 2, "lens": 2}, 0, 0, torch.device("cpu")
    )
    assert none == {"body": 0, "attention": 0, "spectra": 0, "head": 2}


def test_a_slow_run_among_others_does_not_spoil_the_estimate(smollm2):
    """Threads that wait by turning over use CPU as well, so a loaded run can look five times as slow."""
    speed, work = Speed(1e11), plan_run(smollm2, 512).work
    for times in (1.0, 5.0, 1.0):
        speed.learn(work, {part: times * seconds for part, seconds in needed(RECORDED[5]).items()})
    assert speed.seconds(work) == pytest.approx(sum(needed(RECORDED[5]).values()))
