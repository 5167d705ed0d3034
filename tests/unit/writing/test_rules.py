"""Rules from papers over the numbers of tokens: each against values worked out by hand or by listing all cases."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from analysis.errors import AnalysisError
from analysis.writing.rules import cntp, deep_thinking, deepconf, swi_reasoning
from analysis.writing.rules.cntp import cautious_trials, entropy_bounds, trials, warped_entropy
from tests.budget import EXACT

NAN = np.nan


def test_every_result_says_where_it_is_from():
    found = [
        cautious_trials(np.full((1, 2), log(0.5)), ["a"]),
        swi_reasoning.switches(np.ones(1)),
        deepconf.confidence(np.full((1, 2), log(0.5))),
        deepconf.weighted_vote(["a"], [1.0]),
        deep_thinking.deep_thinking(np.zeros((2, 1))),
    ]
    for one in found:
        assert one.source and one.known.startswith(("Code read.", "Abstract only", "Paper's equations"))
        assert len(one.to_frame()) == 1


# CNTP -------------------------------------------------------------------------------------------------


def test_trials_rise_with_entropy():
    step = 1.49 / 9
    entropy = np.array([0, 0.01, 0.01 + step * 0.999, 0.01 + step * 1.001, 0.755, 1.4999, 1.5, 7, NAN])
    assert trials(entropy).tolist() == [1, 1, 1, 2, 5, 9, 10, 10, 0]


def of_the_library(log_probs):
    """Entropy of what transformers' own warpers leave."""
    warped = TopPLogitsWarper(0.95)(None, TemperatureLogitsWarper(0.8)(None, torch.from_numpy(log_probs)))
    p = warped.softmax(-1).numpy()
    return -(p * np.log(p, where=p > 0, out=np.zeros_like(p))).sum(-1)


def distributions(n=400, size=30):
    random = np.random.default_rng(0)
    logits = random.normal(size=(n, size)) * random.uniform(0.3, 6, (n, 1))
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_warped_entropy_is_that_of_the_librarys_warpers():
    log_probs = distributions()
    assert warped_entropy(log_probs) == pytest.approx(of_the_library(log_probs), abs=1e-9)
    half = np.log(np.array([[0.5, 0.5, 1e-300]]))
    assert warped_entropy(half)[0] == pytest.approx(log(2), rel=EXACT)


@pytest.mark.parametrize("k", [1, 3, 10, 30])
def test_bounds_from_the_most_probable_tokens_hold(k):
    log_probs = distributions()
    whole = warped_entropy(log_probs)
    least, most = entropy_bounds(-np.sort(-log_probs, -1)[:, :k].astype(np.float32))
    assert (least <= whole + 1e-5).all() and (whole <= most + 1e-5).all()
    decided = trials(least) == trials(np.minimum(most, 1e9))
    away = np.abs((whole - 0.01) / 1.49 * 9 % 1 - 0.5) < 0.499
    assert (trials(least) == trials(whole))[decided & away].all()
    assert decided.mean() >= {1: 0.05, 3: 0.25, 10: 0.75, 30: 0.99}[k]


def test_trials_along_a_text():
    sure, torn = [log(0.999), log(0.0005)], [log(0.5), log(0.499)]
    unknown = [log(0.01), log(0.009)]
    found = cautious_trials(np.array([[NAN, NAN], sure, torn, unknown]), ["A", " b", " .", ".\n"])
    assert found.trials.tolist() == [0, 1, 1 + int(9 * (log(2) - 0.01) / 1.49), 0]
    assert found.least[3] < found.most[3] == 10 and found.n_unknown == 1 and not found.from_whole
    assert found.positions == (2, 3) and found.segment_end.tolist() == [2, 2, 2, -1]
    exact = cautious_trials(np.full((4, 2), NAN), list("abc\n"), np.array([NAN, 0.0, 0.755, 1.6]))
    assert exact.trials.tolist() == [0, 1, 5, 10] and exact.n_unknown == 0 and exact.from_whole
    assert exact.segment_end.tolist() == [3, 3, 3, 3]


# SwiReasoning -----------------------------------------------------------------------------------------


def test_switches_by_the_trend():
    found = swi_reasoning.switches(np.array([NAN, 2.0, 2.5, 1.5, 3.0, 1.0, 1.6, 1.2, 1.7, 1.6, 1.6]), dwell=3)
    #                  latent from 1, level 2; below at 3: writes, level 1.5; three steps later, at 6, above: latent,
    #                  level 1.6; below at 7: writes, level 1.2; at 10 three steps later, above: latent.
    assert found.to_explicit == (3, 7) and found.to_latent == (6, 10) and found.positions == (3, 6, 7, 10)
    assert np.flatnonzero(found.latent).tolist() == [1, 2, 6, 10]
    assert found.reference[1:].tolist() == [2, 2, 2, 1.5, 1.5, 1.5, 1.6, 1.2, 1.2, 1.2] and np.isnan(
        found.reference[0]
    )
    assert found.to_frame("bits")["reference_bits"][1] == pytest.approx(2 / log(2), rel=EXACT)


def test_equal_entropy_switches_nothing_and_512_steps_are_kept():
    assert swi_reasoning.switches(np.ones(20)).positions == ()
    entropy = np.array([1.0, 0.5, *[2.0] * 600])
    assert swi_reasoning.switches(entropy).positions == (1, 1 + 512)


def test_after_the_thinking_it_only_writes():
    entropy = np.array([1.0, 0.5, 2.0, 2.0, 2.0])
    assert swi_reasoning.switches(entropy, dwell=1).to_latent == (2,)
    found = swi_reasoning.switches(entropy, thinking_end=2, dwell=1)
    assert found.to_latent == () and not found.latent[1:].any()


# DeepConf ---------------------------------------------------------------------------------------------


def top(confidences):
    """Two probabilities a token whose mean log is minus a number."""
    return np.array([[NAN, NAN] if np.isnan(c) else [-c + 0.25, -c - 0.25] for c in confidences])


def test_confidence_of_stretches():
    found = deepconf.confidence(top([NAN, 4, 2, 3, 1, 5]), width=2)
    assert np.isnan(found.token[0]) and found.token[1:] == pytest.approx([4, 2, 3, 1, 5])
    assert np.isnan(found.group[:2]).all() and found.group[2:] == pytest.approx([3, 2.5, 2, 3])
    assert found.least == pytest.approx(2) and found.least_stretch == (3, 5) and found.positions == (3, 4)
    assert found.tail == pytest.approx(3) and found.k == 2
    assert found.stops_at(2.6) == 3 and found.stops_at(2.0) is None
    assert found.to_frame("bits")["stretch_bits"][2] == pytest.approx(3 / log(2))


def test_a_short_sample_is_one_stretch():
    found = deepconf.confidence(top([NAN, 4, 2, 3]))
    assert found.least == pytest.approx(3) and found.least_stretch == (1, 4) and found.width == 2048
    whole = deepconf.confidence(top([NAN, 4, 2, 3]), width=3)
    assert whole.least == pytest.approx(3) and whole.least_stretch == (1, 4)


def test_as_many_are_averaged_as_are_stored():
    logs = np.log(np.array([[0.5, 0.3, 0.1, 0.05]]))
    assert deepconf.token_confidence(logs)[0] == pytest.approx(
        -np.log([0.5, 0.3, 0.1, 0.05]).mean(), rel=EXACT
    )
    assert deepconf.token_confidence(logs, 2)[0] == pytest.approx(-log(0.15) / 2, rel=EXACT)
    uniform = np.full((1, 20), -log(100))
    assert deepconf.confidence(uniform).least == pytest.approx(log(100), rel=EXACT)


def test_the_threshold_is_the_90th_percentile():
    assert deepconf.threshold(range(1, 12)) == pytest.approx(10)
    assert deepconf.threshold(range(16)) == pytest.approx(13.5)


def test_votes_are_weighted():
    found = deepconf.weighted_vote(["a", "b", "a", None, "b", "a"], [1, 3, 1, 9, 2, 1])
    assert found.weights == {"b": 5, "a": 3} and found.counts == {"a": 3, "b": 2}
    assert found.winner == "b" and found.n_without == 1
    assert deepconf.weighted_vote([None], [1]).winner is None
    assert deepconf.weighted_vote(["x", "y"], [1, 1]).winner == "x"


# Deep-thinking tokens ---------------------------------------------------------------------------------


def test_where_predictions_settle():
    divergence = np.array(
        [
            [NAN, 0.6, 0.4, 0.69, 0.5],
            [NAN, 0.55, 0.6, 0.69, 0.6],
            [NAN, 0.5, 0.1, 0.69, 0.6],
            [NAN, 0, 0, 0, 0],
        ]
    )
    found = deep_thinking.deep_thinking(divergence)
    assert found.layer.tolist() == [0, 3, 1, 4, 1], "the first layer at or below, whatever comes after"
    assert found.first_late == 4 and found.positions == (3,) and found.share == 0.25
    assert deep_thinking.deep_thinking(divergence, depth=0.75).positions == (1, 3)
    assert deep_thinking.deep_thinking(divergence, threshold=0).layer.tolist() == [0, 4, 4, 4, 4]


@pytest.mark.parametrize(("layers", "late"), [(36, 31), (30, 26), (20, 17), (100, 85)])
def test_late_begins_at_the_next_whole_layer(layers, late):
    assert deep_thinking.deep_thinking(np.zeros((layers, 1))).first_late == late


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: cautious_trials(np.zeros((0, 2)), []),
        lambda: swi_reasoning.switches(np.array([NAN])),
        lambda: swi_reasoning.switches(np.array([])),
        lambda: deepconf.confidence(np.zeros((0, 2))),
        lambda: deepconf.confidence(np.full((1, 2), NAN)),
        lambda: deepconf.threshold([]),
        lambda: deepconf.weighted_vote([], []),
        lambda: deep_thinking.deep_thinking(np.full((3, 1), NAN)),
        lambda: deep_thinking.deep_thinking(np.zeros((3, 1)), threshold=NAN),
    ],
)
def test_what_is_missing_is_said(wrong):
    with pytest.raises(AnalysisError) as raised:
        wrong()
    assert raised.value.message and raised.value.hint


def test_constants_are_those_of_the_sources():
    assert (cntp.TEMPERATURE, cntp.TOP_P, cntp.LOW, cntp.HIGH, cntp.TRIALS) == (0.8, 0.95, 0.01, 1.5, 10)
    assert (deepconf.TOP_K, deepconf.WINDOW, deepconf.WARM_UP, deepconf.PERCENTILE) == (20, 2048, 16, 90)
    assert swi_reasoning.DWELL == 512 and (deep_thinking.THRESHOLD, deep_thinking.DEPTH) == (0.5, 0.85)
