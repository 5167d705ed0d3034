"""Work to give a worker in tests: it starts, says so, and ends when told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.patience import PATIENCE


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


@contextmanager
def busy(worker) -> Iterator[Gate]:
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
