"""Lint of stored numbers: what a file in the repository says. No code is run that could make it true or false."""

from __future__ import annotations

import json

import pytest

from benchmarks.collapse_lab import GOLDEN, SEEDS, bounds, interventions, medians

STORED = json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("what", bounds(medians(STORED)))
def test_the_stored_calibration_of_the_lab_keeps_its_bounds(what):
    assert bounds(medians(STORED))[what]


def test_the_stored_calibration_is_of_what_the_lab_offers():
    done = {(row["intervention"], row["seed"]) for row in STORED}
    assert {one.describe() for one in interventions()} == {name for name, _ in done}
    assert all((one.describe(), 0) in done for one in interventions())
    assert {("none", seed) for seed in SEEDS} <= done
