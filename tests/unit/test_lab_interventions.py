"""Gradients of every intervention against autograd of its formula, written token by token in float64."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch

from analysis.entropy_collapse.labs.four_squares.interventions import (
    PUBLISHED,
    RESCALED,
    ClipCov,
    ClipHigher,
    EntropyBand,
    EntropyBonus,
    FollowersOnly,
    ForkingOnly,
    Hapo,
    KLCov,
    LpReg,
    MasteredMasking,
    Slower,
    Steer,
    Unchanged,
    intervention,
)
from analysis.entropy_collapse.labs.four_squares.interventions.base import Batch
from analysis.entropy_collapse.labs.four_squares.interventions.weights import log_entropy_spread
from analysis.errors import AnalysisError

B, T, V = 6, 10, 7


def make(seed=0, step_entropy=0.1, moved=0.6):
    """A batch whose ratios lie on both sides of every clip, and the logits it comes from."""
    luck = torch.Generator().manual_seed(seed)
    logits = torch.randn(B, T, V, generator=luck, dtype=torch.float64) * 2.5
    logits[:, ::3] *= 3  # some tokens nearly certain
    logits.requires_grad_()
    old = (logits + moved * torch.randn(B, T, V, generator=luck, dtype=torch.float64)).detach()
    written = torch.distributions.Categorical(logits=old).logits.argmax(-1)
    written[:, 1::2] = torch.randint(V, (B, T // 2), generator=luck)
    reward = torch.tensor([1.0, 0, 1, 0, 0, 1], dtype=torch.float64)
    advantage = ((reward - reward.mean()) / reward.std() * 1.3).unsqueeze(1).expand(B, T)
    lp = logits.log_softmax(-1)
    take = written.unsqueeze(-1)
    batch = Batch(
        logprobs=lp,
        logprob=lp.gather(-1, take).squeeze(-1),
        entropy=-(lp.exp() * lp).sum(-1),
        old_logprob=old.log_softmax(-1).gather(-1, take).squeeze(-1),
        advantage=advantage,
        reward=reward,
        step_entropy=step_entropy,
        generator=torch.Generator().manual_seed(9),
    )
    return batch, logits


def tokens(batch):
    """Every token with its numbers: (b, t, lp, lp_old, A, H); the first and the last carry gradients."""
    for b in range(B):
        for t in range(T):
            yield (
                b,
                t,
                batch.logprob[b, t],
                batch.old_logprob[b, t],
                batch.advantage[b, t].item(),
                batch.entropy[b, t],
            )


def ppo(lp, old, advantage, low=0.2, high=0.2):
    ratio = (lp - old).exp()
    held = min(max(ratio.item(), 1 - low), 1 + high)
    # the smaller of the two; the clipped one is a number without a gradient
    return (
        -ratio * advantage
        if ratio.item() * advantage <= held * advantage
        else -lp.new_tensor(held * advantage)
    )


def ranked(values, count):
    return sorted(range(len(values)), key=lambda i: -values[i])[:count]


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits, retain_graph=True)[0]


def agree(one, direct, batch, logits):
    ours = one.loss(batch)
    torch.testing.assert_close(ours, direct, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient(ours, logits), gradient(direct, logits), rtol=1e-8, atol=1e-12)
    assert gradient(ours, logits).abs().sum() > 0


def test_the_batch_exercises_every_clip():
    batch, _ = make()
    ratio = batch.ratio.detach()
    for side in (ratio < 0.8, ratio > 1.2, (ratio > 1.2) & (ratio < 1.5)):
        assert (side & (batch.advantage > 0)).any() and (side & (batch.advantage < 0)).any()


def test_none_is_ppo():
    batch, logits = make()
    direct = sum(ppo(lp, old, a) for _, _, lp, old, a, _ in tokens(batch)) / (B * T)
    agree(Unchanged(), direct, batch, logits)


def test_entropy_bonus():
    batch, logits = make()
    direct = sum(ppo(lp, old, a) - 0.3 * h for _, _, lp, old, a, h in tokens(batch)) / (B * T)
    agree(EntropyBonus(0.3), direct, batch, logits)


def test_clip_higher():
    batch, logits = make()
    direct = sum(ppo(lp, old, a, 0.2, 0.5) for _, _, lp, old, a, _ in tokens(batch)) / (B * T)
    agree(ClipHigher(0.5), direct, batch, logits)
    plain = Unchanged().loss(batch)
    assert not torch.allclose(gradient(plain, logits), gradient(direct, logits))


def covariances(batch):
    rows = list(tokens(batch))
    mean_a = sum(r[4] for r in rows) / len(rows)
    mean_lp = sum(r[2].item() for r in rows) / len(rows)
    return [(r[4] - mean_a) * (r[2].item() - mean_lp) for r in rows]


def test_clip_cov_leaves_out_tokens_of_high_covariance():
    batch, logits = make()
    one = ClipCov(fraction=0.1, low=0.5, high=4.0)
    chosen = one.chosen(batch).flatten()
    batch.generator.manual_seed(9)
    rows, cov = list(tokens(batch)), covariances(batch)
    clipped = [not ppo(r[2], r[3], r[4]).requires_grad for r in rows]
    eligible = [0.5 < c < 4.0 and not held for c, held in zip(cov, clipped, strict=True)]
    assert sum(eligible) > 6 and chosen.sum() == int(0.1 * B * T)
    assert all(eligible[i] for i in chosen.nonzero().flatten().tolist())
    losses = [ppo(r[2], r[3], r[4]) for r in rows]
    direct = sum(loss for loss, out in zip(losses, chosen.tolist(), strict=True) if not out) / (B * T)
    agree(one, direct, batch, logits)


def test_clip_cov_draws_at_random_and_at_least_one():
    batch, _ = make()
    one = ClipCov(fraction=0.05, low=0.3, high=10.0)
    picks = {tuple(one.chosen(batch).flatten().nonzero().flatten().tolist()) for _ in range(10)}
    assert len(picks) > 3
    assert ClipCov(fraction=0.0, low=0.3, high=10.0).chosen(batch).sum() == 1
    assert ClipCov(fraction=0.5, low=50.0, high=60.0).chosen(batch).sum() == 0


def test_kl_cov_ties_the_tokens_of_largest_covariance():
    batch, logits = make()
    tied = set(ranked(covariances(batch), int(0.2 * B * T)))
    direct = sum(
        -(lp - old).exp() * a + (2.0 * (lp - old).abs() if i in tied else 0.0)
        for i, (_, _, lp, old, a, _) in enumerate(tokens(batch))
    ) / (B * T)
    agree(KLCov(0.2, 2.0), direct, batch, logits)


def test_kl_cov_does_nothing_before_the_policy_has_moved():
    batch, logits = make(moved=0.0)
    torch.testing.assert_close(
        gradient(KLCov(0.2, 5.0).loss(batch), logits), gradient(Unchanged().loss(batch), logits)
    )


@pytest.mark.parametrize(("one", "top"), [(ForkingOnly(0.2), True), (FollowersOnly(0.8), False)])
def test_forks_and_followers_share_the_tokens(one, top):
    batch, logits = make()
    rows = list(tokens(batch))
    forks = set(ranked([r[5].item() for r in rows], B * T // 5))
    kept = [r for i, r in enumerate(rows) if (i in forks) == top]
    direct = sum(ppo(lp, old, a) for _, _, lp, old, a, _ in kept) / len(kept)
    agree(one, direct, batch, logits)


@pytest.mark.parametrize(("step_entropy", "masks"), [(0.1, True), (0.3, False)])
def test_mastered_tokens_are_left_out_only_when_entropy_is_low(step_entropy, masks):
    batch, logits = make(step_entropy=step_entropy)
    rows = list(tokens(batch))
    mastered = [batch.reward[r[0]] > 0 and r[2].exp().item() >= 0.9 for r in rows]
    assert 3 < sum(mastered) < 20
    kept = [r for r, known in zip(rows, mastered, strict=True) if not (known and masks)]
    direct = sum(ppo(lp, old, a) for _, _, lp, old, a, _ in kept) / len(kept)
    agree(MasteredMasking(0.9, 0.2), direct, batch, logits)


def test_entropy_band():
    batch, logits = make()
    rows = list(tokens(batch))
    forks = ranked([r[5].item() for r in rows], B * T // 5)
    direct = 0.0
    for i in forks:
        _, _, lp, old, a, h = rows[i]
        outside = 1.35 - h if h.item() < 1.35 else h - 1.45 if h.item() > 1.45 else 0.0 * h
        direct = direct + ppo(lp, old, a) + 0.7 * outside
    assert {rows[i][5].item() < 1.35 for i in forks} == {True, False}
    agree(EntropyBand(1.35, 1.45, 0.7), direct / len(forks), batch, logits)


def test_lp_reg_pulls_rare_tokens_back_to_the_filtered_policy():
    batch, logits = make()
    rows = list(tokens(batch))
    rarest = sorted(range(B * T), key=lambda i: rows[i][2].item())[: int(0.5 * B * T)]
    direct, shielded = sum(ppo(lp, old, a) for _, _, lp, old, a, _ in rows), 0
    for i in rarest:
        b, t, _lp, _, a, _ = rows[i]
        p = batch.logprobs[b, t].exp().detach()
        kept = p >= 0.02 * p.max()
        proxy = torch.where(kept, p, 0.0) / p[kept].sum()
        word = batch.logprob[b, t].detach().exp()
        own = proxy[(p - word).abs().argmin()]
        if a < 0 and own > word:
            kl = sum(
                q * (q.log() - own_log)
                for q, own_log in zip(proxy, batch.logprobs[b, t], strict=True)
                if q > 0
            )
            direct, shielded = direct + 2.0 * kl.clamp(0, 10), shielded + 1
    assert shielded > 2
    agree(LpReg(0.5, 0.02, 2.0), direct / (B * T), batch, logits)


def test_steer_weighs_by_what_a_token_does_to_the_entropy():
    batch, logits = make()
    rows = list(tokens(batch))
    omega = []
    for _, _, lp, old, a, h in rows:
        p = lp.exp().item()
        omega.append(abs(a / math.exp(old.item()) * p * (1 - p) * (math.log(p) + h.item())))
    low, high = min(omega), max(omega)
    direct = sum(
        (1.2 - 0.4 * (o - low) / (high - low)) * ppo(lp, old, a)
        for o, (_, _, lp, old, a, _) in zip(omega, rows, strict=True)
    ) / (B * T)
    agree(Steer(1.2, 0.8), direct, batch, logits)


def test_hapo_clips_and_weighs_by_the_unsureness():
    batch, logits = make()
    rows, one = list(tokens(batch)), Hapo(0.3, 0.5, 0.5)
    logs = torch.tensor([math.log(max(r[5].item(), 1e-6)) for r in rows], dtype=torch.float64)
    q, s = torch.quantile(logs, 0.8).item(), logs.std().item()
    assert log_entropy_spread(batch.entropy) == pytest.approx((q, s))
    direct, sides = 0.0, set()
    for _, _, lp, old, a, h in rows:
        unsure = min(1.0, max(-1.0, (math.log(max(h.item(), 1e-6)) - q) / s))
        sides.add(unsure > 0)
        low, high = (0.2, 0.5) if unsure > 0 else (0.5, 0.2)
        direct = direct + ppo(lp, old, a * (1 + 0.5 * unsure), low, high)
    assert sides == {True, False}
    agree(one, direct / (B * T), batch, logits)
    heat = one.temperature_factor(torch.tensor([math.exp(q), math.exp(q + 9 * s), 0.0]), (q, s))
    torch.testing.assert_close(heat, torch.tensor([1.0, 1.3, 0.7]))


def hapo_as_in_its_code(entropies, ratio, advantage):
    """Loss of each token by HAPO's own rules: distances stretched to +-1, bounds that grow, a neutral zone."""
    logs = [math.log(h) for h in entropies]
    q = sorted(logs)[round(0.8 * (len(logs) - 1))]
    top, bottom = max(x - q for x in logs), min(x - q for x in logs)
    losses = []
    for x in logs:
        h = (x - q) / top if x > q else (q - x) / bottom
        low, high = (0.2, 0.2 * (1 + h)) if h > 0 else (0.2 * (1 - h), 0.2)
        neutral = 1 - low / 2 < ratio < 1 + high / 2
        a = advantage * (1 + h) if neutral == (h <= 0) else advantage
        losses.append(-min(ratio * a, min(max(ratio, 1 - low), 1 + high) * a))
    return losses


def test_hapo_here_differs_from_its_code_as_the_page_says():
    entropies = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.6, 1.9]  # the 80th percentile is 1.3
    entropy = torch.tensor([entropies], dtype=torch.float64)
    h = Hapo().unsureness(entropy, log_entropy_spread(entropy))[0].tolist()
    stretched = [-(loss + 1) for loss in hapo_as_in_its_code(entropies, 1.0, 1.0)]
    assert h[:2] == [-1, -1] and h[8] == 0 and 0 < h[9] < h[10] < 1, "cut at 1, and not stretched to it"
    assert stretched[:2] == pytest.approx([-1, -math.log(1.3 / 0.6) / math.log(1.3 / 0.5)])

    def ours(ratio, one):
        """Loss of each token, from advantages that are 1 at one token and 0 at all others."""
        n, nothing = len(entropies), torch.zeros_like(entropy)
        alone = torch.eye(n, dtype=torch.float64).unsqueeze(1)
        new = nothing + math.log(ratio)
        batches = [Batch(new, new, entropy, nothing, a, nothing[:, 0], 1.0, torch.Generator()) for a in alone]
        return [n * float(one.loss(batch)) for batch in batches]

    assert ours(1.0, Hapo(boost=1.0)) == pytest.approx([-(1 + x) for x in h]), "every advantage is changed"
    assert hapo_as_in_its_code(entropies, 1.0, 1.0)[-2:] == [-1, -1], (
        "there not where the ratio has not moved"
    )
    assert ours(1.5, Hapo(boost=0.0))[-2:] == pytest.approx([-1.28, -1.28]), (
        "one wide bound for all unsure tokens"
    )
    rise = math.log(1.6 / 1.3) / math.log(1.9 / 1.3)
    there = [-(1 + 0.2 * (1 + rise)) * (1 + rise), -1.4 * 2]
    assert hapo_as_in_its_code(entropies, 1.5, 1.0)[-2:] == pytest.approx(there), "there it grows, up to 0.4"


@pytest.mark.parametrize("one", [*RESCALED.values(), *PUBLISHED.values()], ids=lambda one: one.describe())
def test_every_one_gives_a_finite_gradient_and_says_what_it_is(one):
    batch, logits = make()
    assert torch.isfinite(gradient(one.loss(batch), logits)).all()
    assert (one.source and one.says.endswith(".") and "Source" in type(one).__doc__) or "knob" in one.source
    assert set(one.limits) == {field.name for field in fields(one)}
    assert all(f"{value:g}" in one.describe() for value in one.constants.values())


def test_names_and_scales():
    assert intervention("kl-cov") == KLCov(0.2, 1.0)
    assert intervention("kl-cov", "published") == KLCov(2e-3, 1.0)
    assert set(PUBLISHED) < set(RESCALED) and "entropy band" not in PUBLISHED
    assert Slower(1e-4).learning_rate == 1e-4 and Unchanged().learning_rate is None
    for wrong in (("spine", "rescaled"), ("entropy band", "published"), ("none", "guessed")):
        with pytest.raises(AnalysisError, match=r"There (is|are) no"):
            intervention(*wrong)


@pytest.mark.parametrize(
    "wrong", [lambda: KLCov(1.5), lambda: EntropyBonus(-1.0), lambda: Hapo(float("nan"))]
)
def test_constants_out_of_range_are_refused(wrong):
    with pytest.raises(AnalysisError, match="Choose one from"):
        wrong()
