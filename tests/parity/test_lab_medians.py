"""The lab keeps its promises: some runs of the stored calibration made again.

``lab_calibration.json`` is what ``python -m benchmarks.collapse_lab --write`` printed: every
intervention with seeds 0, 1 and 2. The runs made again here start from a base policy trained
here. Another processor adds in another order and so ends elsewhere within what seeds do.
What the file itself says is looked through in tests/architecture/test_stored_numbers.py.
"""

from __future__ import annotations

import json
from statistics import median

import pytest

from analysis.entropy_collapse.labs.four_squares.grpo import run_lab
from analysis.entropy_collapse.labs.four_squares.interventions import (
    EntropyBonus,
    FollowersOnly,
    KLCov,
    Unchanged,
)
from analysis.entropy_collapse.labs.four_squares.results import LabSettings, summary
from benchmarks.collapse_lab import GOLDEN, SEEDS, bounds, medians

pytestmark = pytest.mark.slow

STORED = json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGITSCOPE_CACHE", str(tmp_path_factory.mktemp("base")))
        yield


@pytest.fixture(scope="module")
def made(own_cache):
    """Numbers of a run by intervention and seed; only first and last evaluation, which changes nothing else."""
    known = {}

    def give(one, seed=0):
        if (one, seed) not in known:
            run = run_lab(LabSettings(one, seed=seed, every=120))
            known[one, seed] = summary(run)
        return known[one, seed]

    return give


def stored(one, seed):
    (row,) = [r for r in STORED if r["intervention"] == one.describe() and r["seed"] == seed]
    return row


# Made again -------------------------------------------------------------------------------------------


def test_plain_grpo_collapses(made):
    runs = [made(Unchanged(), seed) for seed in SEEDS]
    middle = {name: median(run[name] for run in runs) for name in runs[0]}
    middle |= {"entropy_times": 1.0, "reward_less": 0.0}
    kept = bounds(medians(STORED) | {"none": middle})
    assert all(fine for what, fine in kept.items() if what.startswith("none:")), kept


@pytest.mark.parametrize(
    ("one", "least_times", "rewards"),
    [
        (EntropyBonus(0.1), 1.4, (0.85, 1.0)),
        (KLCov(0.2, 1.0), 1.4, (0.8, 1.0)),
        (KLCov(0.1, 2.0), 3.0, (0.6, 0.8)),
        (FollowersOnly(0.8), 1.4, (0.0, 0.5)),
    ],
    ids=lambda value: value.describe() if hasattr(value, "describe") else "",
)
def test_interventions_do_what_is_said_of_them(made, one, least_times, rewards):
    run, baseline = made(one), made(Unchanged())
    assert run["entropy_end"] >= least_times * baseline["entropy_end"]
    assert rewards[0] <= run["reward_end"] < rewards[1]
    if one != KLCov(0.1, 2.0) and one != FollowersOnly(0.8):
        assert baseline["reward_end"] - run["reward_end"] <= 0.10


@pytest.mark.parametrize("seed", SEEDS)
def test_runs_made_again_are_those_stored(made, seed):
    again, then = made(Unchanged(), seed), stored(Unchanged(), seed)
    assert again["reward_start"] == pytest.approx(then["reward_start"], abs=0.05)
    assert again["entropy_start"] == pytest.approx(then["entropy_start"], rel=0.1)
    assert again["reward_end"] == pytest.approx(then["reward_end"], abs=0.06)
    assert 1 / 1.6 < again["entropy_end"] / then["entropy_end"] < 1.6
    assert again["distinct_end"] == pytest.approx(then["distinct_end"], rel=0.4)
    assert again["top_share"] == pytest.approx(then["top_share"], abs=0.04)
    assert again["exact_correlation"] == pytest.approx(then["exact_correlation"], abs=0.2)
