"""Rows of two sides of the embedded model against its own dense float64 distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.comparison.results import VocabularyMatch
from analysis.comparison.two_heads import HeadStates, compare_rows
from analysis.models.anatomy import Head
from benchmarks.two_heads import LIMIT_MIB, SHAPES, measure
from tests import budget

pytestmark = pytest.mark.kernels
OWN = ("entropy_a", "entropy_b", "surprisal_a", "surprisal_b")
TEXT = (
    "The ferry leaves at six, and whoever is late waits an hour on the pier. Die Fähre kommt um sieben zurück; "
    "船は六時に出ます。 def wait(hours):\n    return [60 * hour for hour in range(hours)]\n"
    "She counted the boats twice, 12 + 7 = 19, and wrote the number on the wall: nineteen, as it was every year."
)


@pytest.fixture(scope="module")
def run(smollm2):
    return an.trace(smollm2, TEXT)


def states_of(run):
    return torch.from_numpy(run.final_states[:-1].copy()), torch.from_numpy(run.tokens.token_id[1:].copy())


def compared(a, b, ids):
    match = VocabularyMatch("identical", "", None, a.head.vocab_size)
    with torch.inference_mode():
        return compare_rows(a, b, ids, ids, match, 10, lambda _n: None)


def dense(a, b, ids):
    """Every number by its definition, of the same states and weights."""
    logits = (side.states.double() @ side.head.weight.detach().double().T for side in (a, b))
    lp, lq = (z.log_softmax(-1) for z in logits)
    p, q = lp.exp(), lq.exp()
    lm = torch.logaddexp(lp, lq) - np.log(2)
    at = torch.arange(len(ids)), ids
    return {
        "kl_ab": (p * (lp - lq)).sum(-1),
        "kl_ba": (q * (lq - lp)).sum(-1),
        "jsd": (p * (lp - lm) + q * (lq - lm)).sum(-1) / 2,
        "tv": (p - q).abs().sum(-1) / 2,
        "entropy_a": -(p * lp).sum(-1),
        "entropy_b": -(q * lq).sum(-1),
        "surprisal_a": -lp[at],
        "surprisal_b": -lq[at],
        "largest": lp.abs().max(),
        "first_differs": (lp.argmax(-1) != lq.argmax(-1)).double(),
    }


def sides(run, smollm2, what):
    """Side A as it is, and a B close to it or far."""
    states, ids = states_of(run)
    head = smollm2.anatomy.head
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(states.shape, generator=draw)
    other = {
        "noise": HeadStates(head, states * (1 + 1e-4 * noise)),
        "moved": HeadStates(head, states + 0.3 * states.std() * noise),
        "foreign": HeadStates(head, states.flip(0).contiguous()),
        "rounded head": HeadStates(Head(head.weight.detach().bfloat16().float(), None, 1.0, None), states),
    }
    return HeadStates(head, states), other[what], ids


@pytest.mark.embedded
@pytest.mark.parametrize("what", ["noise", "moved", "foreign", "rounded head"])
def test_rows_equal_dense_float64(run, smollm2, what):
    a, b, ids = sides(run, smollm2, what)
    found, true = compared(a, b, ids), {k: v.numpy() for k, v in dense(a, b, ids).items()}
    for name in ("kl_ab", "kl_ba", "jsd"):
        values, expected = getattr(found, name), true[name]
        assert (values > 0).all(), name
        assert (np.abs(values - expected) <= np.maximum(2e-6, 2e-3 * expected)).all(), name
        assert np.median(np.abs(values / expected - 1)) < 0.02, name
    near = budget.rounding(true["largest"])
    for name, most in (("tv", 1e-5), *((name, 5e-5) for name in OWN)):
        error = np.abs(getattr(found, name) - true[name])
        assert error.mean() <= most and error.max() <= near, name
    assert (found.first_differs != true["first_differs"]).mean() <= 0.01  # near ties


@pytest.mark.embedded
def test_the_sides_own_numbers_are_those_of_their_runs(run, smollm2):
    a, b, ids = sides(run, smollm2, "moved")
    found = compared(a, b, ids)
    near = budget.rounding(run.tokens.surprisal)
    np.testing.assert_allclose(found.entropy_a, run.tokens.entropy[1:], atol=near, rtol=0)
    np.testing.assert_allclose(found.surprisal_a, run.tokens.surprisal[1:], atol=near, rtol=0)
    # Rows stand elsewhere in their block, and a product may round otherwise there: ranks and lists agree but for near ties
    np.testing.assert_allclose(found.rank_a, run.tokens.rank[1:], atol=1, rtol=0.01)
    assert (found.top_ids_a == run.tokens.top_ids[1:]).mean() > 0.99
    np.testing.assert_allclose(found.top_logprobs_a, run.tokens.top_logprobs[1:], atol=near, rtol=0)


@pytest.mark.embedded
def test_a_run_with_itself_is_exactly_zero_and_exchanged_sides_agree(run, smollm2):
    a, b, ids = sides(run, smollm2, "moved")
    itself = compared(a, a, ids)
    for name in ("kl_ab", "kl_ba", "jsd", "tv", "entropy_change", "surprisal_change", "first_differs"):
        assert (getattr(itself, name) == 0).all(), name
    there, back = compared(a, b, ids), compared(b, a, ids)
    for name, other in (("kl_ab", "kl_ba"), ("kl_ba", "kl_ab"), ("jsd", "jsd"), ("tv", "tv")):
        np.testing.assert_allclose(getattr(there, name), getattr(back, other), atol=1e-7)


@pytest.mark.slow
@pytest.mark.embedded
def test_memory_stays_below_the_limit_at_any_length():
    """Both heads of the embedded model's shape: dense float32 logits of 8,000 tokens alone are 3,000 MiB."""
    assert LIMIT_MIB == 430 and SHAPES == (
        (512, 49152, 576),
        (2048, 49152, 576),
        (8000, 49152, 576),
    )  # 450 MB
    extra = [costs[0].extra / 2**20 for costs in measure(["compared"], 1)["compared"]]
    assert all(20 < mib < LIMIT_MIB for mib in extra), extra
