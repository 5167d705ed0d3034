"""Covariance and the exact softmax term against float64 differences of the true entropy; the policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.entropy_collapse.labs.four_squares import task
from analysis.entropy_collapse.labs.four_squares.grpo import group_advantage
from analysis.entropy_collapse.labs.four_squares.policy import Policy, predict, sample
from analysis.entropy_collapse.labs.four_squares.predictions import (
    covariance,
    entropy_of,
    exact_slope,
    top_share,
)


def seeded(n):
    return torch.Generator().manual_seed(n)


def entropy(z):
    p = np.exp(z - z.max())
    p /= p.sum()
    return -(p * np.log(p)).sum()


def test_the_exact_term_is_the_derivative_of_the_entropy_along_a_gradient_step():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, 5)) * 2
    written, advantage = rng.integers(5, size=6), rng.normal(size=6)
    logprobs = torch.from_numpy(z).log_softmax(-1)[None]
    slope = exact_slope(logprobs, torch.from_numpy(written)[None], torch.from_numpy(advantage)[None])[0]
    for row in range(6):
        p = np.exp(z[row]) / np.exp(z[row]).sum()
        direction = advantage[row] * (np.eye(5)[written[row]] - p)
        eps = 1e-5
        ahead, behind = entropy(z[row] + eps * direction), entropy(z[row] - eps * direction)
        assert slope[row].item() == pytest.approx((ahead - behind) / (2 * eps), rel=1e-6, abs=1e-9)


def test_the_mean_exact_term_is_minus_the_covariance_with_p_times_advantage():
    """Summed over actions by their probability: -Cov(ln p, p A) of the entropy mechanism, for any A(a)."""
    rng = np.random.default_rng(1)
    z, worth = torch.from_numpy(rng.normal(size=7)), torch.from_numpy(rng.normal(size=7))
    logprobs = z.log_softmax(0)
    p = logprobs.exp()
    worth = worth - (p * worth).sum()  # an advantage has mean 0 under the policy
    actions = torch.arange(7)
    slopes = exact_slope(logprobs.expand(1, 7, 7), actions[None], worth[None])[0]
    gain = p * worth
    theory = -((p * logprobs * gain).sum() - (p * logprobs).sum() * (p * gain).sum())
    assert (p * slopes).sum().item() == pytest.approx(theory.item(), rel=1e-9)


def test_natural_gradient_lowers_the_entropy_by_the_covariance():
    """Cov(ln p, A) under the policy is the fall of the entropy per unit step z + eps A."""
    rng = np.random.default_rng(2)
    z, worth = rng.normal(size=6), rng.normal(size=6)
    p = np.exp(z) / np.exp(z).sum()
    counts = np.round(p * 200_000).astype(int)  # actions as often as the policy takes them
    actions = np.repeat(np.arange(6), counts)
    value = covariance(torch.from_numpy(np.log(p)[actions])[None], torch.from_numpy(worth[actions])[None])
    eps = 1e-5
    slope = (entropy(z + eps * worth) - entropy(z - eps * worth)) / (2 * eps)
    assert -value == pytest.approx(slope, rel=1e-3)


def test_top_share():
    values = torch.tensor([[4.0, 1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, 0.0, 0.0]])
    assert top_share(values) == pytest.approx(6 / 10)
    assert top_share(torch.ones(1, 6)) == pytest.approx(2 / 6)  # 1.2 of 6 tokens, rounded up
    assert top_share(torch.zeros(2, 5)) == 0.0


def test_advantages_are_normalised_in_their_group():
    reward = torch.tensor([1.0, 0, 0, 0, 1, 1, 1, 1])
    first = np.array([1.0, 0, 0, 0])
    expected = (first - 0.25) / first.std(ddof=1)
    np.testing.assert_allclose(group_advantage(reward, 4)[:4], expected, rtol=1e-4)
    np.testing.assert_array_equal(group_advantage(reward, 4)[4:], 0)


@pytest.fixture(scope="module")
def policy():
    made = Policy(seeded(3))
    with torch.no_grad():
        made.head.mul_(8)  # as far from uniform as a trained one
    return made


def test_writing_and_reading_see_the_same_policy(policy):
    """Step by step with a cache, and all at once under a causal mask."""
    prompts = torch.arange(5, 37)
    written = sample(policy, prompts, seeded(0))
    keys, values = torch.empty(2, 32, 4, task.LENGTH, 12).unbind()
    stepwise, token = [], prompts
    with torch.no_grad():
        for at in range(task.LENGTH):
            stepwise.append(policy.step(token, at, keys, values))
            token = written[:, at]
        whole = predict(policy, prompts, written)
    torch.testing.assert_close(torch.stack(stepwise, 1).log_softmax(-1), whole.logprobs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_samples_come_from_the_policy_at_its_temperature(policy, temperature):
    prompts = torch.full((5_000,), 42)
    first = sample(policy, prompts, seeded(1), temper=temperature)[:, 0]
    with torch.no_grad():
        p = predict(policy, prompts[:1], torch.zeros(1, task.LENGTH, dtype=torch.long), temperature)
        p = p.logprobs[0, 0].exp()
    seen = torch.bincount(first, minlength=task.N_TOKENS) / len(first)
    error = (p * (1 - p) / len(first)).sqrt()
    assert ((seen - p).abs() < 5 * error + 1e-4).all() and entropy_of(p.log()) > 1


def test_entropy_is_exact_over_the_vocabulary(policy):
    prompts = torch.arange(5, 15)
    with torch.no_grad():
        reading = predict(policy, prompts, sample(policy, prompts, seeded(2)), 1.3)
    p = reading.logprobs.double().exp().numpy()
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(reading.entropy, -(p * np.log(p)).sum(-1), rtol=1e-4)
    own = np.take_along_axis(reading.logprobs.numpy(), reading.written.numpy()[..., None], 2)[..., 0]
    np.testing.assert_array_equal(reading.logprob, own)
