"""The Bigram-Backcopy task: statistics, rules, and what an oracle pays, each against another way to get it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from analysis.entropy_collapse.labs.backcopy.task import CLIP, make_task, row_entropy, shipped_task
from analysis.errors import AnalysisError

SMALL = "abacadbacbdaabdacbaacab"


@pytest.fixture(scope="module")
def task():
    return shipped_task()


def counted(text):
    """Bigram probabilities of a circular text, by plain counting."""
    pairs = Counter(pairwise(text + text[0]))
    firsts = Counter(text)
    return {(a, b): n / firsts[a] for (a, b), n in pairs.items()}


def every_sequence(text, triggers, length):
    """All sequences of characters that can happen, with their probabilities, by plain recursion."""
    bigram, ordinary = counted(text), [c for c in sorted(set(text)) if c not in triggers]
    total = sum(text.count(c) for c in ordinary)
    found = [(c, text.count(c) / total) for c in ordinary]
    for _ in range(length - 1):
        longer = []
        for sequence, chance in found:
            last = sequence[-1]
            if last in triggers:
                longer.append((sequence + sequence[-2], chance))
            else:
                longer += [
                    (sequence + b, chance * bigram[last, b]) for b in sorted(set(text)) if (last, b) in bigram
                ]
        found = longer
    return found


def test_statistics_are_those_of_plain_counting():
    small = make_task(SMALL, 1)
    expected = counted(SMALL)
    for i, a in enumerate(small.characters):
        assert small.unigram[i] == pytest.approx(SMALL.count(a) / len(SMALL), abs=1e-15)
        for j, b in enumerate(small.characters):
            assert small.bigram[i, j] == pytest.approx(expected.get((a, b), 0.0), abs=1e-15)
    assert small.characters == "abcd" and small.triggers == (0,)
    np.testing.assert_allclose(
        small.first, np.array([0, *(SMALL.count(c) for c in "bcd")]) / (len(SMALL) - SMALL.count("a"))
    )


def test_the_shipped_text_is_what_the_documents_say(task):
    assert "".join(task.characters[c] for c in task.triggers) == " et"
    assert task.n_tokens == 63 and task.bos == 62
    np.testing.assert_allclose(task.bigram.sum(1), 1.0)
    long, short = task.oracle(), task.oracle(64)
    assert (long.markov, long.overall) == (pytest.approx(1.936, abs=5e-4), pytest.approx(1.365, abs=5e-4))
    assert (short.markov, short.overall) == (pytest.approx(1.987, abs=5e-4), pytest.approx(1.421, abs=5e-4))
    assert (long.trigger_share, long.bigram_on_triggers) == (
        pytest.approx(0.295, abs=5e-4),
        pytest.approx(6.178, abs=5e-4),
    )


@pytest.mark.parametrize("n_triggers", [1, 2])
def test_the_oracle_is_the_one_of_all_sequences_enumerated(n_triggers):
    length = 6
    small = make_task(SMALL, n_triggers)
    triggers = {small.characters[c] for c in small.triggers}
    bigram = counted(SMALL)
    entropy = {a: -sum(p * math.log(p) for (x, _), p in bigram.items() if x == a) for a in set(SMALL)}
    sequences = every_sequence(SMALL, triggers, length)
    assert sum(p for _, p in sequences) == pytest.approx(1.0, abs=1e-12)
    ordinary = copies = loss = wrong = 0.0
    for sequence, chance in sequences:
        for i in range(length - 1):
            if sequence[i] in triggers:
                copies += chance
                wrong -= chance * math.log(max(bigram.get((sequence[i], sequence[i - 1]), 0.0), CLIP))
            else:
                ordinary += chance
                loss += chance * entropy[sequence[i]]
    found = small.oracle(length)
    assert found.markov == pytest.approx(loss / ordinary, abs=1e-12)
    assert found.overall == pytest.approx(loss / (length - 1), abs=1e-12)
    assert found.trigger_share == pytest.approx(copies / (length - 1), abs=1e-12)
    assert found.bigram_on_triggers == pytest.approx(wrong / copies, abs=1e-12)
    assert found.backcopy == 0.0


def test_the_oracle_is_the_one_of_the_chain_of_pairs(task):
    """Another route: a chain whose states are the last two characters, C squared of them, in float64."""
    n, length = len(task.characters), 64
    triggers = np.isin(np.arange(n), task.triggers)
    state = np.zeros((n, n))  # [previous, current]; before the first character stands itself
    state[np.arange(n), np.arange(n)] = task.first
    entropy = np.array([-sum(p * math.log(p) for p in row if p > 0) for row in task.bigram])
    surprise = -np.log(np.maximum(task.bigram, CLIP))
    ordinary = loss = wrong = 0.0
    for _ in range(length - 1):
        ordinary += state[:, ~triggers].sum()
        loss += (state * np.where(triggers, 0.0, entropy)).sum()
        wrong += (state * surprise.T)[:, triggers].sum()
        new = np.where(triggers, 0.0, state.sum(0))[:, None] * task.bigram
        for t in task.triggers:
            new[t] += state[:, t]  # after a trigger comes what was before it
        state = new
    found = task.oracle(length)
    assert found.markov == pytest.approx(loss / ordinary, rel=1e-12)
    assert found.overall == pytest.approx(loss / (length - 1), rel=1e-12)
    assert found.bigram_on_triggers == pytest.approx(wrong / (length - 1 - ordinary), rel=1e-12)


def test_samples_pay_what_the_oracle_does(task):
    ids = task.sequences(np.random.default_rng(1).random((1500, 64)))
    read = ids[:, 1:-1]  # characters 1 to 63, as the oracle counts
    trigger = task.is_trigger(read)
    loss = np.where(trigger, 0.0, row_entropy(task.bigram)[read]).sum(1) / read.shape[1]
    share = trigger.mean(1)
    found = task.oracle(64)
    for sampled, exact in ((loss, found.overall), (share, found.trigger_share)):
        error = sampled.std() / math.sqrt(len(sampled))
        assert error < 0.01 and abs(sampled.mean() - exact) < 4 * error
    drawn = -np.log(task.bigram[read, ids[:, 2:]][~trigger])  # what really came after, not the entropy
    assert drawn.mean() == pytest.approx(found.markov, abs=0.03)


def test_sequences_follow_the_rules(task):
    ids = task.sequences(np.random.default_rng(0).random((300, 80)))
    assert ids.shape == (300, 81) and (ids[:, 0] == task.bos).all() and (ids[:, 1:] < task.bos).all()
    trigger = task.is_trigger(ids)
    assert not trigger[:, :2].any()
    assert not (trigger[:, 1:] & trigger[:, :-1]).any()
    here = np.argwhere(trigger[:, :-1])
    assert len(here) > 3000
    assert all(ids[s, i + 1] == ids[s, i - 1] for s, i in here)
    free = ~trigger[:, 1:-1]
    assert (task.bigram[ids[:, 1:-1][free], ids[:, 2:][free]] > 0).all()


def test_frequencies_come_out(task):
    ids = task.sequences(np.random.default_rng(3).random((4000, 12)))
    first = np.bincount(ids[:, 1], minlength=task.bos) / len(ids)
    np.testing.assert_allclose(first, task.first, atol=4 * math.sqrt(0.12 * 0.88 / len(ids)))
    n = task.characters.index("n")
    after = ids[:, 2:][ids[:, 1:-1] == n]
    share = np.bincount(after, minlength=task.bos) / len(after)
    np.testing.assert_allclose(share, task.bigram[n], atol=4 * math.sqrt(0.25 / len(after)))


def test_extreme_random_numbers_stay_inside(task):
    for uniform in (np.zeros((2, 30)), np.full((2, 30), np.nextafter(1.0, 0.0))):
        ids = task.sequences(uniform)
        free = ~task.is_trigger(ids[:, 1:-1])
        assert (task.bigram[ids[:, 1:-1][free], ids[:, 2:][free]] > 0).all()


def test_the_truth_of_every_position(task):
    ids = task.sequences(np.random.default_rng(5).random((20, 40)))
    truth = task.next_distribution(ids)
    np.testing.assert_allclose(truth.sum(-1), 1.0)
    np.testing.assert_array_equal(truth[:, 0], np.broadcast_to(task.first, truth[:, 0].shape))
    for s in range(3):
        for i in range(1, 41):
            if ids[s, i] in task.triggers:
                assert truth[s, i, ids[s, i - 1]] == 1.0
            else:
                np.testing.assert_array_equal(truth[s, i], task.bigram[ids[s, i]])


def test_row_entropy_in_closed_form():
    np.testing.assert_allclose(row_entropy(np.array([[1.0, 0, 0], [0.5, 0.5, 0]])), [0.0, math.log(2)])


@pytest.mark.parametrize(
    ("text", "n_triggers"), [("", 1), ("aaaa", 1), ("abab", 1), ("abcabc", 0), ("abcd", 3)]
)
def test_a_text_with_too_few_characters_is_refused(text, n_triggers):
    with pytest.raises(AnalysisError) as refused:
        make_task(text, n_triggers)
    assert refused.value.hint
