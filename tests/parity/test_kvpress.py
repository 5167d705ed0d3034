"""Kept sets and surprisals of kvpress 0.5.5, from its golden files (tests/golden/README.md)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.kv_cache.continuation import run_continuation
from analysis.pruning_effects.eviction.context_run import read_context
from analysis.pruning_effects.eviction.damage import compare
from analysis.pruning_effects.eviction.planned import Plan, Planned
from analysis.pruning_effects.eviction.policies import policy
from tests import budget
from tests.golden.make_kvpress import PRESSES, SCORE_LAYERS, SHARES, read_golden
from tests.golden.make_kvpress_wrappers import WRAPPERS, read_wrappers

pytestmark = [pytest.mark.embedded, pytest.mark.kernels]


@pytest.fixture(scope="module")
def golden():
    return read_golden()


@pytest.fixture(scope="module")
def work(smollm2, golden, after):
    """The golden context after its prefill."""
    plan = Plan(tuple(Planned(policy(name), 1.0) for name in ("full", *PRESSES, *WRAPPERS)), {})
    before = torch.from_numpy(golden.context_ids.astype(np.int64))
    with smollm2.lock, torch.inference_mode():
        return read_context(smollm2, before, plan, after)


@pytest.fixture(scope="module")
def after(golden):
    """Ids of the continuation."""
    return torch.from_numpy(golden.continuation_ids.astype(np.int64))


@pytest.fixture(scope="module")
def damage(smollm2, golden, work, after):
    """Surprisal of the continuation under every golden kept set; row 0 is the full cache."""
    sets = [torch.from_numpy(golden.kept[name][s]) for name in PRESSES for s in range(len(SHARES))]
    keep = torch.stack([torch.ones_like(sets[0]), *sets])
    with smollm2.lock, torch.inference_mode():
        states = run_continuation(smollm2, work.prefix, after[:-1], keep)
        return compare(smollm2.anatomy.head, states[0], states, after[1:], 5)


@pytest.fixture(scope="module")
def near(smollm2, golden):
    """Nats that a surprisal may be off: both sides are float32, 30 layers after a cache cut by another program."""
    return budget.WIDE * budget.rounding_in(smollm2, golden.context)


def ours(work, name: str, share: float) -> np.ndarray:
    if name != "pyramidkv":
        return work.kept_by(Planned(policy(name), share)).numpy()
    pyramid = policy(name)  # the library's budgets are not equalised, ours are
    budgets = pyramid.published_budgets(work.n_context, share, work.model.info.n_layers)
    return pyramid.keep(work.scores[pyramid], budgets).numpy()


@pytest.mark.parametrize("name", PRESSES)
def test_kept_sets_are_the_same_up_to_ties(work, golden, name):
    for index, share in enumerate(SHARES):
        theirs = golden.kept[name][index]
        mine = ours(work, name, share)
        assert (mine.sum(-1) == theirs.sum(-1)).all()
        if name in ("snapkv", "pyramidkv") and share == 0.1:
            # A budget of 51 in a protected window of 64: equal scores, an accident of topk decides among theirs.
            assert not mine[..., :-64].any() and not theirs[..., :-64].any()
        else:
            budget.assert_same_up_to_ties(mine, theirs, work.scores[policy(name)])


def test_the_overshoot_of_pyramidkv_is_said(golden, work):
    pyramid, n_layers = policy("pyramidkv"), work.model.info.n_layers
    missed = []
    for index, share in enumerate(SHARES):
        theirs = int(golden.kept["pyramidkv"][index][:, 0].sum())
        everyone = int(golden.kept["snapkv"][index][:, 0].sum())
        remark = pyramid.remark(work.n_context, share, n_layers)
        assert f"{theirs:,} tokens per KV head" in remark
        if theirs != everyone:
            missed.append(share)
            assert f"{theirs / everyone - 1:+.1%} against everyone's {everyone:,}" in remark
    assert missed and policy("snapkv").remark(work.n_context, 0.5, n_layers) == ""


@pytest.mark.parametrize("name", WRAPPERS)
def test_methods_built_on_snapkv_keep_the_same(work, name):
    snapkv = {share: ours(work, "snapkv", share) for share in (0.7, 0.5, 0.3)}
    for (method, share), theirs in read_wrappers().items():
        if method == name:
            mine = ours(work, name, share)
            # Which scores lie at the border of a choice in two steps is not told: few may differ at all.
            assert mine.sum() == theirs.sum() and (mine != theirs).mean() < 0.001, f"{name} at {share}"
            assert (snapkv[share] != theirs).any(-1).mean() > 0.5


@pytest.mark.parametrize("name", [name for name in PRESSES if name != "streaming"])
def test_scores_are_the_same(work, golden, name):
    mine = work.scores[policy(name)][list(SCORE_LAYERS)].numpy()
    theirs = golden.scores[name]
    some = np.isfinite(mine)
    if name in ("snapkv", "pyramidkv"):
        some[..., -64:] = False  # protected, each in its own way
    assert some.mean() > 0.8
    assert np.abs(mine - theirs)[some].max() < budget.STATES * np.abs(theirs[some]).max()


def test_surprisals_are_the_same(golden, damage, near):
    """Single tokens, of up to 17 nats, as far as two orders of summation allow; their mean four times closer."""
    theirs = [golden.full_nll, *(golden.nll[name][s] for name in PRESSES for s in range(len(SHARES)))]
    assert len(theirs) == len(damage.surprisal) == 41
    for ours, golden_row in zip(damage.surprisal, theirs, strict=True):
        np.testing.assert_allclose(ours, golden_row[1:], atol=near, rtol=0)
        assert abs(float(ours.astype(float).mean() - golden_row[1:].astype(float).mean())) < near / 4
    damaged = np.abs(damage.surprisal[1:] - damage.surprisal[0]).mean(1)
    assert damaged.max() > 0.1  # or the comparison would say nothing


def test_positions_of_the_shortened_cache_would_be_noticed(smollm2, golden, work, after, near):
    """The canary: the library's own numbers with wrong positions are far away, and ours with them equal those."""
    from analysis.kv_cache.eviction_attention import Special

    right = golden.nll["snapkv"][SHARES.index(0.5)]
    wrong = golden.inferred_nll
    assert np.abs(right - wrong)[1:].mean() > 0.1
    keep = torch.from_numpy(golden.kept["snapkv"][SHARES.index(0.5)])[None]
    special = {0: Special(start=int(keep[0, 0, 0].sum()))}
    with smollm2.lock, torch.inference_mode():
        states = run_continuation(smollm2, work.prefix, after[:-1], keep, special=special)
        found = compare(smollm2.anatomy.head, states[0], states, after[1:], 1)
    np.testing.assert_allclose(found.surprisal[0], wrong[1:], atol=near, rtol=0)
