"""Every family against its own eager logits, reduced densely in float64.

Nothing of the package's readout or anatomy takes part in the reference: logits come
from the library's forward, the lens from ``hidden_states`` through the norm and the
head named here by hand, with the transforms written out per family.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import analysis as an
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA

ALL = FAMILIES + FAMILIES_EXTRA
TEXT = (
    "The cat sat on the mat, and the dog ran to the river in the morning; it was not there.\n\n"
    "Naïve 🙂👩‍🚀 café:\t12 + 30 = 42.  He re-read one of the letters, again and again — 今日は.\n"
    "for i in range(10):\n    print(i, i * i)\nWhoever reads this far has read some two hundred tokens."
)
K = 7

NORM = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm", "phi": "model.final_layernorm"}
NORM["opt"] = "model.decoder.final_layer_norm"
TRANSFORM = {
    "gemma2": lambda z: 12.0 * torch.tanh(z / 12.0),
    "cohere": lambda z: 0.25 * z,
    "granite": lambda z: z / 4.0,
}


class Dense:
    """The library's eager run, every quantity from whole float64 matrices."""

    def __init__(self, folder, family, ids):
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
        model.eval()
        self.norm = model.get_submodule(NORM.get(family, "model.norm"))
        self.head = model.get_submodule("lm_head")
        self.transform = TRANSFORM.get(family, lambda z: z)
        layers = model.get_submodule(
            {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers"}.get(
                family, "model.layers"
            )
        )
        caught = {}
        handle = layers[-1].register_forward_hook(
            lambda _m, _a, out: caught.update(last=out[0] if isinstance(out, tuple) else out)
        )
        with torch.inference_mode():
            out = model(input_ids=torch.as_tensor(ids)[None], output_hidden_states=True, use_cache=False)
        handle.remove()
        self.ids = np.asarray(ids)
        self.logits = out.logits[0].double()
        self.near = budget.WIDE * budget.rounding(self.logits)
        # The last of hidden_states has been through the final norm already: take the layer's own output.
        self.residual = [h[0] for h in out.hidden_states[:-1]] + [caught["last"][0].view(len(ids), -1)]
        self.normed_last = out.hidden_states[-1][0]

    @staticmethod
    def log_probs(logits):
        return (logits - torch.logsumexp(logits, -1, keepdim=True)).numpy()

    def lens(self, layer):
        with torch.inference_mode():
            states = self.norm(self.residual[layer]).double()
            bias = getattr(self.head, "bias", None)
            logits = states @ self.head.weight.double().T + (0 if bias is None else bias.double())
        return self.log_probs(self.transform(logits))


def entropy(lp):
    return -(np.exp(lp) * lp).sum(-1)


def varentropy(lp):
    h = entropy(lp)[..., None]
    return (np.exp(lp) * (lp + h) ** 2).sum(-1)


def assert_tokens_equal(trace, dense):
    """Every per-token quantity, entry t against row t - 1."""
    lp = dense.log_probs(dense.logits)
    tokens, n, near = trace.tokens, len(dense.ids), dense.near
    assert len(tokens) == n
    rows, ids = np.arange(n - 1), dense.ids[1:]
    assert np.isnan([tokens.surprisal[0], tokens.entropy[0], tokens.varentropy[0], tokens.max_prob[0]]).all()
    np.testing.assert_allclose(tokens.surprisal[1:], -lp[rows, ids], atol=near, rtol=0)
    np.testing.assert_allclose(tokens.entropy[1:], entropy(lp)[:-1], atol=near, rtol=0)
    away = np.abs(tokens.varentropy[1:] - varentropy(lp)[:-1])
    assert (away <= budget.of_varentropy(varentropy(lp)[:-1], near)).all()
    np.testing.assert_allclose(tokens.max_prob[1:], np.exp(lp.max(-1))[:-1], atol=near, rtol=0)
    assert_ranks_equal(tokens.rank[1:], lp[:-1], ids, near)
    assert_top_equal(tokens.top_ids[1:], tokens.top_logprobs[1:], lp[:-1], near)
    np.testing.assert_array_equal(tokens.context, np.arange(n))
    last = lp[-1:]
    assert trace.next.entropy == pytest.approx(entropy(last)[0], abs=near)
    assert abs(trace.next.varentropy - varentropy(last)[0]) <= budget.of_varentropy(varentropy(last)[0], near)
    assert trace.next.max_prob == pytest.approx(np.exp(last.max()), abs=near)
    assert_top_equal(trace.next.top_ids[None], trace.next.top_logprobs[None], last, near)


def assert_ranks_equal(rank, lp, ids, near):
    """One plus the number of strictly better tokens; logits within rounding may swap."""
    own = lp[np.arange(len(ids)), ids][:, None]
    surely = 1 + (lp > own + near).sum(-1)
    at_most = (lp > own - near).sum(-1)
    assert ((rank >= surely) & (rank <= np.maximum(at_most, 1))).all()
    assert (rank == 1 + (lp > own).sum(-1)).mean() > 0.95


def assert_top_equal(top_ids, top_logprobs, lp, near):
    order = np.argsort(-lp, axis=-1, kind="stable")[:, : top_ids.shape[1]]
    best = np.take_along_axis(lp, order, -1)
    np.testing.assert_allclose(top_logprobs, best, atol=near, rtol=0)
    np.testing.assert_allclose(np.take_along_axis(lp, top_ids, -1), best, atol=near, rtol=0)
    assert (top_ids == order).mean() > 0.95
    assert all(len(set(row)) == len(row) for row in top_ids.tolist())


def assert_layers_equal(trace, dense):
    layers, final = trace.layers, dense.log_probs(dense.logits)
    n_layers = len(dense.residual) - 1
    assert layers.n_layers == n_layers
    np.testing.assert_array_equal(layers.lens_layers, np.arange(n_layers + 1))
    for layer in range(n_layers + 1):
        norms = dense.residual[layer].double().norm(dim=-1).numpy()
        np.testing.assert_allclose(layers.residual_norm[layer], norms, rtol=budget.STATES)
        lens = dense.lens(layer)
        near = budget.WIDE * budget.rounding(final, lens)
        kl = (np.exp(final) * (final - lens)).sum(-1)
        np.testing.assert_allclose(layers.lens_entropy[layer, 1:], entropy(lens)[:-1], atol=near, rtol=0)
        np.testing.assert_allclose(layers.lens_kl[layer, 1:], kl[:-1], atol=2 * near, rtol=0)
        chosen = lens[np.arange(len(lens) - 1), layers.lens_top_ids[layer, 1:]]
        np.testing.assert_allclose(chosen, lens.max(-1)[:-1], atol=near, rtol=0)
        assert_ranks_equal(layers.lens_rank[layer, 1:], lens[:-1], trace.tokens.token_id[1:], near)
    assert (layers.lens_kl[:, 1:] >= 0).all()
    assert np.isnan(layers.lens_entropy[:, 0]).all() and np.isnan(layers.lens_kl[:, 0]).all()
    assert (layers.lens_top_ids[:, 0] == -1).all() and (layers.lens_rank[:, 0] == 0).all()
    np.testing.assert_allclose(layers.lens_entropy[-1], trace.tokens.entropy, atol=dense.near, rtol=0)
    assert np.nanmax(layers.lens_kl[-1]) < dense.near
    assert np.nanmean(layers.lens_kl[0]) > 0.1  # the first layers say something else


@pytest.fixture(scope="module")
def runs(load_tiny, tiny_folder):
    """Trace and dense reference of a family, each computed once."""
    done = {}

    def run(family, bos="auto"):
        if (family, bos) not in done:
            trace = an.trace(load_tiny(family), TEXT, top_k=K, lens=True, bos=bos)
            done[family, bos] = trace, Dense(tiny_folder(family), family, trace.tokens.token_id)
        return done[family, bos]

    return run


@pytest.mark.parametrize("family", ALL)
def test_tokens_equal_dense_float64(family, runs):
    trace, dense = runs(family)
    assert 190 <= len(trace.tokens) <= 300
    assert_tokens_equal(trace, dense)
    assert trace.spec.top_k == K
    assert all(check.passed for check in trace.checks)


@pytest.mark.parametrize("family", ALL)
def test_layers_equal_dense_float64(family, runs):
    assert_layers_equal(*runs(family))


@pytest.mark.parametrize("family", ALL)
def test_the_reference_lens_is_the_output_at_the_last_layer(family, runs):
    """The hand-written norm, head and transform are right, or the tests above mean nothing."""
    _, dense = runs(family)
    np.testing.assert_allclose(
        dense.lens(len(dense.residual) - 1), dense.log_probs(dense.logits), atol=dense.near, rtol=0
    )
    assert (dense.residual[-1] - dense.normed_last).abs().max() > 0.1


@pytest.mark.parametrize("family", ALL)
def test_with_a_token_before_the_text(family, runs):
    plain, _ = runs(family)
    trace, dense = runs(family, "always")
    assert trace.tokens.token_id[0] == 0
    np.testing.assert_array_equal(trace.tokens.token_id[1:], plain.tokens.token_id)
    assert trace.tokens.start[0] == -1 and trace.tokens.start[1] == 0
    assert trace.tokens.rank[1] >= 1  # the first token of the text is predicted now
    assert_tokens_equal(trace, dense)
    assert_layers_equal(trace, dense)


@pytest.mark.parametrize(
    ("family", "without"),
    [
        ("gemma2", {"softcap": None}),
        ("cohere", {"scale": 1.0}),
        ("granite", {"scale": 1.0}),
        ("phi", {"bias": None}),
    ],
)
def test_a_dropped_transform_is_seen(family, without, load_tiny, runs, monkeypatch):
    """These families would give other numbers without their transform of the logits."""
    _, dense = runs(family)
    model = load_tiny(family)
    (name,) = without
    assert getattr(model.anatomy.head, name) is not None
    broken = replace(model.anatomy, head=replace(model.anatomy.head, **without))
    monkeypatch.setattr(model, "anatomy", broken)
    wrong = an.trace(model, TEXT, top_k=K, lens=True)
    right = entropy(dense.log_probs(dense.logits))[:-1]
    assert np.abs(wrong.tokens.entropy[1:] - right).max() > 0.05
    with pytest.raises(AssertionError):
        assert_tokens_equal(wrong, dense)


@pytest.mark.parametrize("family", ALL)
def test_the_head_found_is_the_family_s(family, load_tiny):
    head = load_tiny(family).anatomy.head
    assert head.scale == pytest.approx({"cohere": 0.25, "granite": 0.25}.get(family, 1.0))
    assert head.softcap == {"gemma2": 12.0}.get(family)
    assert (head.bias is not None) == (family == "phi")


@pytest.mark.parametrize("family", ALL)
def test_numbers_are_within_their_limits(family, runs):
    trace, _ = runs(family)
    tokens, size = trace.tokens, trace.spec.vocab_size
    known = slice(1, None)
    assert (tokens.entropy[known] >= 0).all() and (tokens.entropy[known] <= math.log(size) + 1e-5).all()
    assert (tokens.surprisal[known] > 0).all() and (tokens.varentropy[known] >= 0).all()
    assert (np.diff(tokens.top_logprobs[known], axis=-1) <= 0).all()
    # The first choice is in the top list at rank 1, and only there.
    first = tokens.top_ids[known, 0] == tokens.token_id[known]
    np.testing.assert_array_equal(first, tokens.rank[known] == 1)
