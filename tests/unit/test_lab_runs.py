"""Runs of the lab: settings, base policy, determinism, cancel, partial results, comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.entropy_collapse.labs.four_squares import base as base_module
from analysis.entropy_collapse.labs.four_squares import grpo, task
from analysis.entropy_collapse.labs.four_squares.base import (
    BaseSettings,
    base_path,
    base_policy,
    random_texts,
    train_base,
)
from analysis.entropy_collapse.labs.four_squares.comparison import NO_EFFECT, compare, effect_in_words
from analysis.entropy_collapse.labs.four_squares.grpo import run_lab
from analysis.entropy_collapse.labs.four_squares.interventions import Hapo, Hotter, KLCov, Slower
from analysis.entropy_collapse.labs.four_squares.policy import Policy
from analysis.entropy_collapse.labs.four_squares.results import LabSettings, summary
from analysis.errors import AnalysisError, Cancelled

QUICK = BaseSettings(updates=60, texts=500)
"""A base policy that can do next to nothing, in a second."""
SMALL = LabSettings(steps=4, prompts=3, rollouts=4, minibatches=2, answers=2, k=2, every=2)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LOGITSCOPE_CACHE", str(tmp_path))


@pytest.fixture(autouse=True)
def _one_thread():
    """As in a run of the lab: more threads add in another order each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weak_weights():
    return train_base(QUICK, lambda _share, _what: None).state_dict()


@pytest.fixture
def weak(monkeypatch, weak_weights):
    """Runs start from the weak base policy, with a reward that it can earn."""

    def give(_on_progress):
        policy = Policy(torch.Generator().manual_seed(0))
        policy.load_state_dict(weak_weights)
        return policy

    monkeypatch.setattr(grpo, "base_policy", give)
    monkeypatch.setattr(task, "rewards", lambda _, written: (written.sum(1) % 2).astype(np.float32))


def arrays(run):
    return {name: value for name, value in vars(run).items() if isinstance(value, np.ndarray)}


# Settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"steps": 0},
        {"steps": 2.5},
        {"steps": float("inf")},
        {"prompts": 72},
        {"rollouts": 1},
        {"minibatches": 0},
        {"prompts": 1, "rollouts": 2, "minibatches": 3},
        {"answers": 4, "k": 5},
        {"learning_rate": float("nan")},
        {"temperature": 0.0},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(AnalysisError) as caught:
        LabSettings(**wrong)
    assert caught.value.hint.startswith("Choose")


def test_a_key_names_the_run():
    keys = {
        LabSettings().key,
        LabSettings(seed=1).key,
        LabSettings(KLCov(0.2)).key,
        LabSettings(KLCov(0.1)).key,
    }
    assert len(keys) == 4 and LabSettings().key == LabSettings(seed=0).key
    assert LabSettings(Hotter(1.5)).used_temperature == 1.5 and LabSettings().used_temperature == 1.0
    assert LabSettings(Slower(1e-5)).used_learning_rate == 1e-5
    assert "kl-cov (fraction 0.2, coefficient 1) · seed 0" in LabSettings(KLCov(0.2, 1.0)).subtitle


# Base policy ------------------------------------------------------------------------------------------


def test_the_base_policy_sees_true_steps_and_no_held_out_number():
    numbers, written = random_texts(BaseSettings(texts=4000), np.random.default_rng(0))
    assert task.true_steps(numbers, written).all()
    assert set(numbers.tolist()) == set(task.split()[0])
    assert 0.15 < task.rewards(numbers, written).mean() < 0.35
    before_last, last = written[:, 13], written[:, 16]
    whole = np.isin(before_last, task.SQUARES) & (before_last > 0)
    assert (last == before_last)[whole].mean() == pytest.approx(0.8 + 0.2 / 3, abs=0.07)
    first = written[numbers == 99, 1] if (numbers == 99).any() else written[numbers == 98, 1]
    assert len(set(first.tolist())) == 10  # every square that fits


def test_the_base_policy_is_kept_and_a_broken_file_is_made_anew():
    said = []
    first = base_policy(lambda share, what: said.append((share, what)), QUICK)
    assert base_path(QUICK).is_file() and "warming up" in said[0][1] and said[-1][0] < 1
    again = base_policy(lambda *_: pytest.fail("trained again"), QUICK)
    base_path(QUICK).write_bytes(b"no such thing")
    anew = base_policy(lambda *_: None, QUICK)
    for one, two, three in zip(first.parameters(), again.parameters(), anew.parameters(), strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)
    assert [path.suffix for path in base_path().parent.iterdir()] == [".safetensors"]
    assert base_path() != base_path(QUICK)


def test_a_warm_up_can_be_stopped_and_leaves_nothing(monkeypatch):
    def stop(share, _what):
        if share > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        base_policy(stop, QUICK)
    assert not base_path(QUICK).exists()


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(base_module, "cache_folder", lambda: blocked / "inside")
    assert isinstance(base_policy(lambda *_: None, replace(QUICK, updates=1)), Policy)


# Runs -------------------------------------------------------------------------------------------------


def test_a_run_has_all_its_curves(weak):
    run = run_lab(SMALL)
    assert run.evaluated.tolist() == [0, 2, 4] and run.seconds > 0
    assert all(len(values) in (4, 3) and np.isfinite(values).all() for values in arrays(run).values())
    tokens = 0.2 * run.fork_entropy + 0.8 * run.follower_entropy
    np.testing.assert_allclose(run.entropy, tokens, rtol=1e-5)
    assert (run.entropy < np.log(task.N_TOKENS)).all() and (run.answer_entropy <= np.log(2) + 1e-9).all()
    frame = run.to_frame()
    assert frame["step"].tolist() == [0, 1, 2, 3, 4] and frame["seed"].eq(0).all()
    assert frame["entropy"].isna().tolist() == [False] * 4 + [True]
    assert frame["pass_1"].isna().tolist() == [False, True, False, True, False]
    bits = run.to_frame("bits")
    np.testing.assert_allclose(bits["change"] * np.log(2), frame["change"])
    np.testing.assert_array_equal(bits["pass_k"], frame["pass_k"])


@pytest.mark.parametrize("one", [KLCov(0.2, 1.0), Hapo(0.3, 0.5, 0.5)], ids=lambda one: one.name)
def test_the_same_settings_give_the_same_numbers(weak, one):
    first, again, other = (run_lab(replace(SMALL, intervention=one, seed=s)) for s in (3, 3, 4))
    for name, values in arrays(first).items():
        np.testing.assert_array_equal(values, getattr(again, name))
    assert not np.array_equal(first.entropy, other.entropy)


def test_runs_of_one_seed_are_paired(weak):
    """They start from the same policy, with the same numbers and the same samples."""
    first, other = run_lab(SMALL), run_lab(replace(SMALL, intervention=KLCov(0.5, 5.0)))
    assert first.entropy[0] == other.entropy[0] and first.pass_1[0] == other.pass_1[0]
    assert first.entropy[2] != other.entropy[2]


def test_the_change_is_measured_at_the_same_tokens(weak):
    still = run_lab(replace(SMALL, intervention=Slower(1e-8)))
    assert np.abs(still.change).max() < 1e-5
    moving = run_lab(replace(SMALL, intervention=Slower(3e-2)))
    assert np.abs(moving.change).max() > 1e-3


def test_torch_is_left_as_it_was(weak):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    torch.set_num_threads(2)
    run_lab(SMALL)
    with pytest.raises(Cancelled):
        run_lab(SMALL, on_progress=stop_at(0.4))
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), state)


def stop_at(limit):
    def stop(share, _what):
        if share >= limit:
            raise Cancelled

    return stop


def test_a_run_can_be_stopped_and_reports_often(weak):
    seen = []
    settings = replace(SMALL, steps=8, prompts=8, rollouts=16, minibatches=4, answers=20, every=4)
    run_lab(settings, on_progress=lambda share, what: seen.append((share, what)))
    shares, said = [share for share, _ in seen], [what for _, what in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    # A stop waits for one step, or for 512 answers of an evaluation, at most.
    assert [what for what in said if "step" in what] == [f"step {t} of 8" for t in range(1, 9)]
    chunks = sum(-(-len(numbers) * 20 // 512) for numbers in task.split())
    assert said.count("answering all numbers") == 3 * chunks > 9
    with pytest.raises(Cancelled):
        run_lab(settings, on_progress=stop_at(0.5))


def test_partial_runs_grow_and_are_never_changed(weak, monkeypatch):
    monkeypatch.setattr(grpo, "_SHOW_SECONDS", 0.0)
    partial, copies = [], []

    def keep(run):
        partial.append(run)
        copies.append(run.entropy.copy())

    whole = run_lab(SMALL, on_partial=keep)
    assert [len(run.reward) for run in partial] == [1, 2, 3, 4]
    assert all(run.evaluated[-1] < 4 for run in partial)
    for run, copy in zip(partial, copies, strict=True):
        np.testing.assert_array_equal(run.entropy, copy)
        np.testing.assert_array_equal(run.entropy, whole.entropy[: len(copy)])


# Comparison -------------------------------------------------------------------------------------------


def test_summary_reads_the_ends(weak):
    run = run_lab(SMALL)
    numbers = summary(run)
    assert numbers["entropy_kept"] == run.token_entropy[-1] / run.token_entropy[0]
    assert numbers["reward_end"] == run.pass_1[-1]
    expected = np.corrcoef(run.exact_slope, run.change)[0, 1]
    assert numbers["exact_correlation"] == pytest.approx(expected)
    constant = replace(run, change=np.zeros(4), distinct=np.zeros(3), reward=np.ones(4))
    for name in ("exact_correlation", "distinct_kept", "law_r2"):
        assert np.isnan(summary(constant)[name])


def test_runs_are_compared_with_the_baseline_of_their_seed(weak):
    runs = [run_lab(SMALL), run_lab(replace(SMALL, intervention=KLCov(0.5, 5.0)))]
    runs.append(replace(runs[1], settings=replace(runs[1].settings, seed=8)))
    frame = compare(runs)
    assert frame["effect"][0] == "the baseline" and frame["effect"][2] == "no baseline with this seed"
    ratio = runs[1].token_entropy[-1] / runs[0].token_entropy[-1]
    assert frame["entropy_against_baseline"].tolist()[:2] == [1.0, pytest.approx(ratio)]
    assert frame["entropy_against_baseline"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((1.0, 0.0, 1.0), NO_EFFECT),
        ((1.39, -0.049, 0.72), NO_EFFECT),
        ((2.0, 0.0, 1.0), "more entropy"),
        ((1.0, -0.2, 1.5), "more distinct answers, less reward"),
        ((0.5, 0.06, 0.5), "less entropy, fewer distinct answers, more reward"),
        ((float("nan"), float("nan"), float("nan")), NO_EFFECT),
    ],
)
def test_effects_are_said_plainly(numbers, said):
    assert effect_in_words(*numbers) == said
