"""The embedded model against its own dense float64 logits, and samplers against definitions."""

from __future__ import annotations

import hashlib
import math
import unicodedata

import numpy as np
import pytest
import torch

import analysis as an
from analysis.forward.vocabulary_head import distribution, entropy_of, varentropy_of
from analysis.models import embedded
from analysis.token_entropy.samplers import log_probs_before, what_samplers_keep
from tests import budget

pytestmark = pytest.mark.kernels

TEXT = (
    "The harbour was quiet that morning. Two fishermen mended a net on the wall and said nothing, because "
    "everything there was to say about the weather had been said the day before.\n\n"
    "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n"
    "    return total / len(values)\n\n"
    "12 + 30 = 42, 7 * 8 = 56, 1024 / 4 = 256. Der Nebel lag noch über dem Fluss, als der Zug hielt.\n"
    "今日は天気がいいから、散歩しましょう。 👩‍👩‍👧‍👦🇩🇪 naïve café — “quoted” …\n"
    "She opened the letter, read it twice, and put it back into the envelope. Then she opened the letter, "
    "read it twice, and put it back into the envelope. Nobody asked her what it said, and she did not tell "
    "them; the next boat would bring another one, as it had every week since the spring."
)


@pytest.fixture(scope="module")
def run(smollm2):
    return an.trace(smollm2, TEXT, lens=True)


@pytest.fixture(scope="module")
def eager(smollm2, run):
    """Float64 log-probabilities of an eager float32 run, and what its layers gave."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        embedded.embedded_folder(), attn_implementation="eager", dtype=torch.float32
    ).eval()
    caught = {}
    model.model.layers[-1].register_forward_hook(
        lambda _m, _a, out: caught.update(last=out[0] if isinstance(out, tuple) else out)
    )
    ids = torch.from_numpy(run.tokens.token_id)[None]
    with torch.inference_mode():
        out = model(input_ids=ids, output_hidden_states=True, use_cache=False)
        residual = [h[0] for h in out.hidden_states[:-1]] + [caught["last"].reshape(ids.shape[1], -1)]
        lens = {
            layer: (model.model.norm(residual[layer]).double() @ model.lm_head.weight.double().T).log_softmax(
                -1
            )
            for layer in (0, 7, 15, 29, 30)
        }
    return out.logits[0].double().log_softmax(-1).numpy(), residual, lens


@pytest.mark.embedded
def test_the_weights_are_the_tested_ones(smollm2):
    data = embedded.gguf_path().read_bytes()
    assert (
        hashlib.sha256(data).hexdigest() == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    )
    info = smollm2.info
    assert (info.n_layers, info.hidden_size, info.vocab_size, info.n_padded_ids) == (30, 576, 49152, 0)
    assert info.dtype == "float32" and info.family == "llama" and info.context_length == 8192
    # Sum of all weights, tied head once: the conversion of the 4-bit blocks is the tested one.
    assert info.n_parameters == 134_515_008
    assert not getattr(smollm2.model, "is_quantized", False)
    assert "4-bit" in info.notes[0]


@pytest.mark.embedded
def test_tokens_equal_dense_float64(run, eager):
    lp, _, _ = eager
    tokens, p = run.tokens, np.exp(eager[0])
    assert 250 <= len(tokens) <= 350
    rows, ids = np.arange(len(tokens) - 1), tokens.token_id[1:]
    h = -(p * lp).sum(-1)
    near = budget.rounding(lp)
    np.testing.assert_allclose(tokens.surprisal[1:], -lp[rows, ids], atol=near, rtol=0)
    np.testing.assert_allclose(tokens.entropy[1:], h[:-1], atol=near, rtol=0)
    varentropy = (p * (lp + h[:, None]) ** 2).sum(-1)
    away = np.abs(tokens.varentropy[1:] - varentropy[:-1])
    assert (away <= budget.of_varentropy(varentropy[:-1], near)).all()
    np.testing.assert_allclose(tokens.max_prob[1:], p.max(-1)[:-1], atol=near, rtol=0)
    own = lp[rows, ids][:, None]
    exact = 1 + (lp[:-1] > own).sum(-1)
    surely, at_most = 1 + (lp[:-1] > own + near).sum(-1), (lp[:-1] > own - near).sum(-1)
    assert ((tokens.rank[1:] >= surely) & (tokens.rank[1:] <= np.maximum(at_most, 1))).all()
    assert (tokens.rank[1:] == exact)[exact <= 20].mean() > 0.99
    order = np.argsort(-lp[:-1], axis=-1, kind="stable")[:, :10]
    assert (tokens.top_ids[1:] == order).mean() > 0.99
    np.testing.assert_allclose(
        tokens.top_logprobs[1:], np.take_along_axis(lp[:-1], order, -1), atol=near, rtol=0
    )
    assert run.next.entropy == pytest.approx(h[-1], abs=near)
    assert list(run.next.top_ids[:3]) == list(np.argsort(-lp[-1])[:3])
    assert all(check.passed for check in run.checks) and len(run.checks) == 6


@pytest.mark.embedded
def test_it_reads_english_better_than_chance(run):
    """The weights were expanded right: a wrong scale or a swapped row gives ln V = 10.8."""
    whole = an.summary(run.tokens)
    assert 1.0 < whole.mean_surprisal < 4.0
    again = run.text.index("Then she opened")
    repeated = (run.tokens.start > again + 20) & (run.tokens.end < run.text.index("Nobody"))
    assert repeated.sum() > 10
    assert run.tokens.surprisal[repeated].mean() < 1.0
    assert np.median(run.tokens.surprisal[repeated]) < 0.5


@pytest.mark.embedded
def test_layers_equal_dense_float64(run, eager):
    lp, residual, lens = eager
    for layer, states in enumerate(residual):
        np.testing.assert_allclose(
            run.layers.residual_norm[layer],
            states.double().norm(dim=-1).numpy(),
            rtol=budget.WIDE * budget.STATES,
        )
    for layer, reference in lens.items():
        reference = reference.numpy()
        q = np.exp(reference)
        near = budget.rounding(lp, reference)
        np.testing.assert_allclose(
            run.layers.lens_entropy[layer, 1:], -(q * reference).sum(-1)[:-1], atol=near, rtol=0
        )
        kl = (np.exp(lp) * (lp - reference)).sum(-1)
        np.testing.assert_allclose(run.layers.lens_kl[layer, 1:], kl[:-1], atol=budget.WIDE * near, rtol=0)
    assert (run.layers.lens_kl[:, 1:] >= 0).all()
    np.testing.assert_array_equal(run.layers.lens_entropy[-1, 1:], run.tokens.entropy[1:])


@pytest.mark.embedded
def test_digits_are_split_one_by_one(smollm2):
    tokens = an.trace(smollm2, "a\n  2 + 12").tokens
    assert tokens.text[-2:] == ("1", "2")
    assert list(tokens.text) == ["a", "\n  ", "2", " +", " ", "1", "2"]
    assert "".join(tokens.cell_text) == "a\n  2 + 12"


@pytest.mark.embedded
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_no_normal_form_is_forced_on_the_text(smollm2, form):
    text = unicodedata.normalize(form, "Ünïcödé café")
    assert "".join(an.trace(smollm2, text).tokens.cell_text) == text


# Samplers -----------------------------------------------------------------------------------------------
# Definitions in numpy, float64, from the papers; none of them looks at transformers.


# Each gives an order of the tokens and how many of them are kept: at least and at most, because where a running
# sum or a probability lies at its limit, rounding chooses.


def falling(p):
    return np.argsort(-p, kind="stable")


def reached(sums, limit):
    """How many terms it takes until a sum reaches a limit."""
    slack = math.sqrt(len(sums)) * budget.EPS
    return tuple(int(np.searchsorted(sums, limit + move, side="left")) + 1 for move in (-slack, slack))


def above(p, limit):
    """How many are at least so likely; the most likely one is always kept."""
    slack = 64 * budget.EPS
    return tuple(max(1, int((p >= limit * (1 + move)).sum())) for move in (slack, -slack))


def top_k_set(p, k):
    return falling(p), (min(k, len(p)),) * 2


def top_p_set(p, mass):
    """The fewest most probable tokens whose mass reaches the limit."""
    return falling(p), reached(np.cumsum(np.sort(p)[::-1]), mass)


def min_p_set(p, share):
    return falling(p), above(p, share * p.max())


def entropy_and_surprisal(p):
    with np.errstate(divide="ignore"):
        surprisal = -np.log(p)
    return float((p * np.where(p > 0, surprisal, 0)).sum()), surprisal


def typical_set(p, mass):
    """The tokens whose surprisal is closest to the entropy, up to the mass."""
    entropy, surprisal = entropy_and_surprisal(p)
    order = np.argsort(np.abs(surprisal - entropy), kind="stable")
    return order, reached(np.cumsum(p[order]), mass)


def eta_set(p, epsilon):
    return falling(p), above(p, min(epsilon, math.sqrt(epsilon) * math.exp(-entropy_and_surprisal(p)[0])))


def top_h_set(p, share, top_n=100):
    """Most probable tokens while their part of the top-100 entropy stays within the share; one at least."""
    order = falling(p)[:top_n]
    q = p[order] / p[order].sum()
    parts = -q * np.log(q)
    slack = 64 * budget.EPS
    limits = (share * (1 + move) * parts.sum() for move in (-slack, slack))
    return falling(p), tuple(max(1, int((np.cumsum(parts) <= limit).sum())) for limit in limits)


def top_h_of_the_paper_set(p, share):
    """The longest run of most probable tokens whose own entropy, renormalised, is within its share of the whole."""
    order = falling(p)
    whole = -np.sum(p[p > 0] * np.log(p[p > 0]))
    slack = 64 * budget.EPS

    def longest(limit):
        count = 1
        while count < len(p):
            q = p[order[: count + 1]] / p[order[: count + 1]].sum()
            if -np.sum(q[q > 0] * np.log(q[q > 0])) > limit:
                break
            count += 1
        return count

    return order, (longest(share * whole * (1 - slack)), longest(share * whole * (1 + slack)))


Z = torch.tensor([2.0, 1.0, 0.0, -1.0])
P = np.exp(Z.double().numpy()) / np.exp(Z.double().numpy()).sum()


def short(sampler):
    """Name without its setting; Top-H stands there by two rules."""
    name, _, rest = sampler.partition(" ")
    return name if name != "top-H" else f"{name}, {rest.partition(', ')[2]}"


def kept_by(log_probs, **settings):
    return {short(k.sampler): k for k in what_samplers_keep(log_probs, **settings)}


def test_the_golden_distribution():
    log_probs, probs = distribution(Z[None].clone())
    np.testing.assert_allclose(probs[0].numpy(), [0.643914, 0.236883, 0.087144, 0.032059], atol=1e-6)
    h = entropy_of(log_probs, probs)
    assert float(h) == pytest.approx(0.947537, abs=1e-6)
    assert float(-log_probs[0, 0] + 2.0) == pytest.approx(2.4401897, abs=1e-6)
    assert float(varentropy_of(log_probs, probs, h)) == pytest.approx(0.616586, abs=1e-6)


@pytest.mark.parametrize(
    ("sampler", "settings", "count"),
    [
        ("min-p", {"min_p": 0.1}, 3),
        ("min-p", {"min_p": 0.4}, 1),
        ("top-H, library", {"top_h": 0.4}, 1),
        ("top-H, library", {"top_h": 0.6}, 1),
        ("top-H, library", {"top_h": 0.8}, 2),
        ("top-H, paper", {"top_h": 0.6}, 1),
        ("top-H, paper", {"top_h": 0.62}, 2),  # the first two alone have .582 of .9475 nats
        ("top-H, paper", {"top_h": 0.8}, 2),
        ("eta", {"eta": 0.3}, 2),  # the cut is .212349
        ("eta", {"eta": 3e-4}, 4),
        ("top-k", {"top_k": 3}, 3),
        ("top-k", {"top_k": 50}, 4),
        ("top-p", {"top_p": 0.6}, 1),
        ("top-p", {"top_p": 0.65}, 2),
        ("typical", {"typical": 0.6}, 2),
        ("typical", {"typical": 0.9}, 3),
    ],
)
def test_golden_counts(sampler, settings, count):
    kept = kept_by(Z.log_softmax(-1), **settings)[sampler]
    assert kept.count == count
    assert kept.mass == pytest.approx(np.sort(P)[::-1][:count].sum(), abs=1e-6)
    assert kept.keeps_actual is None


def test_the_golden_order_of_typical():
    """Surprisals .44, 1.44, 2.44, 3.44 around the entropy .9475: the second token is the most typical."""
    for mass, expected in [(0.2, {1}), (0.25, {0, 1}), (0.9, {0, 1, 2}), (0.99, {0, 1, 2, 3})]:
        kept = {
            i for i in range(4) if kept_by(Z.log_softmax(-1), actual=i, typical=mass)["typical"].keeps_actual
        }
        assert kept == expected
        order, (least, most) = typical_set(P, mass)
        assert set(order[:least]) == set(order[:most]) == expected


def test_typical_can_leave_out_the_first_choice():
    """The surprisal of the best token is far from the entropy here; a top-p in disguise fails this."""
    p = np.array([0.4] + [0.1] * 6)
    log_probs = torch.from_numpy(np.log(p)).float()
    order, (_, most) = typical_set(p, 0.3)
    assert 0 not in order[:most]
    kept = kept_by(log_probs, actual=0, typical=0.3)
    assert kept["typical"].keeps_actual is False
    assert kept["top-p"].keeps_actual is True


def assert_same_sets(log_probs, **settings):
    """Every token alone, asked through ``actual``, is kept where the definition keeps it."""
    defaults = {"top_k": 50, "top_p": 0.9, "min_p": 0.1, "typical": 0.9, "top_h": 0.4, "eta": 3e-4}
    s = defaults | settings
    p = log_probs.double().exp().numpy()
    p /= p.sum()
    expected = {
        "top-k": top_k_set(p, s["top_k"]),
        "top-p": top_p_set(p, s["top_p"]),
        "min-p": min_p_set(p, s["min_p"]),
        "typical": typical_set(p, s["typical"]),
        "top-H, library": top_h_set(p, s["top_h"]),
        "top-H, paper": top_h_of_the_paper_set(p, s["top_h"]),
        "eta": eta_set(p, s["eta"]),
    }
    for token in [*falling(p)[:12].tolist(), int(p.argmin())]:
        for kept in what_samplers_keep(log_probs, token, **settings):
            name = short(kept.sampler)
            order, (least, most) = expected[name]
            assert least <= kept.count <= most <= least + 0.01 * len(p), name
            place = int(np.flatnonzero(order == token)[0])
            assert kept.keeps_actual == (place < kept.count), (name, token)
            assert kept.mass == pytest.approx(p[order[: kept.count]].sum(), abs=64 * budget.EPS), name


@pytest.mark.parametrize("seed", range(6))
def test_samplers_equal_their_definitions_on_random_distributions(seed):
    generator = torch.Generator().manual_seed(seed)
    log_probs = (torch.randn(300, generator=generator) * (1 + seed)).log_softmax(-1)
    assert_same_sets(log_probs)
    assert_same_sets(log_probs, top_k=5, top_p=0.5, min_p=0.02, typical=0.5, top_h=0.7, eta=0.02)


@pytest.mark.embedded
@pytest.mark.parametrize("position", [1, 40, 150, 250])
def test_samplers_equal_their_definitions_on_the_model(smollm2, run, eager, position):
    log_probs = log_probs_before(smollm2, run, position)
    np.testing.assert_allclose(
        log_probs.numpy(), eager[0][position - 1], atol=budget.rounding(eager[0]), rtol=0
    )
    actual = int(run.tokens.token_id[position])
    near = budget.rounding(log_probs)
    assert -float(log_probs[actual]) == pytest.approx(run.tokens.surprisal[position], abs=near)
    assert_same_sets(log_probs)
    panel = an.sampler_panel(smollm2, run, position, top_k=5)
    assert panel[0].sampler == "top-k 5" and panel[0].count == 5
    assert panel[0].keeps_actual == (run.tokens.rank[position] <= 5)


@pytest.mark.embedded
def test_samplers_after_the_text_and_where_nothing_came_before(smollm2, run):
    after = log_probs_before(smollm2, run, len(run.tokens))
    assert int(after.argmax()) == run.next.top_ids[0]
    assert an.sampler_panel(smollm2, run, len(run.tokens))[0].keeps_actual is None
    for position in (0, -1, len(run.tokens) + 1):
        with pytest.raises(an.AnalysisError, match="Not available"):
            log_probs_before(smollm2, run, position)


def test_the_panel_refuses_another_model(load_tiny, llama):
    run = an.trace(llama, "some text here")
    with pytest.raises(an.AnalysisError, match="the run was made with"):
        an.sampler_panel(load_tiny("qwen3"), run, 1)
