"""Step-by-step eviction against straightforward loops over the library's own eager attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.decoding import STEPWISE, sweep_decoding
from analysis.pruning_effects.eviction.policies.a2sf import A2SF
from analysis.pruning_effects.eviction.policies.keyformer import Keyformer
from tests import budget

CONTEXT = "The cat sat on the mat, and the dog ran to the river in the morning; it was not there. "
AFTER = " They went home again and slept until noon, when the rain began and all were wet."
SHARE, STEPS = 0.4, 25
LAYERS, HEADS, GROUPS = 2, 4, 2


class Loop:
    """Reads the continuation token by token with a plain additive mask per query head.

    ``evict(layer, kv_head, rows, alive)`` gets the whole attention rows of the head's group so far, (2, t, T),
    with zeros where nothing was seen, and says which tokens stay, as a set.
    """

    def __init__(self, model, budget_share: float) -> None:
        self.model, tokenizer = model, model.tokenizer
        self.context = torch.tensor(tokenizer(CONTEXT)["input_ids"])
        after = torch.tensor(tokenizer(AFTER, add_special_tokens=False)["input_ids"])
        self.after = after[: STEPS + 1]
        self.budget = int(len(self.context) * budget_share)
        self.narrowest = np.inf
        """Smallest gap between the last kept and the first evicted score so far, relative."""

    def run(self, evict) -> tuple[np.ndarray, list[list[set[int]]]]:
        n = len(self.context)
        masks: list[torch.Tensor | None] = [None] * LAYERS
        handles = []

        def put(layer):
            def hook(_module, args, kwargs):
                if masks[layer] is not None:
                    kwargs["attention_mask"] = masks[layer]
                return args, kwargs

            return hook

        before = self.model.model.config._attn_implementation
        surprisal = []
        try:
            self.model.model.set_attn_implementation("eager")
            for i, layer in enumerate(self.model.anatomy.layers):
                handles.append(layer.self_attn.register_forward_pre_hook(put(i), with_kwargs=True))
            with self.model.lock, torch.inference_mode():
                cache = DynamicCache()
                whole = self.model.model(self.context[None], past_key_values=cache, output_attentions=True)
                self.near = budget.WIDE * budget.rounding(whole.logits)
                rows = [
                    [[w[0, h].double() for h in range(g * 2, g * 2 + 2)] for g in range(GROUPS)]
                    for w in whole.attentions
                ]
                alive = [
                    [evict(i, g, torch.stack(rows[i][g]), set(range(n))) for g in range(GROUPS)]
                    for i in range(LAYERS)
                ]
                for t, token in enumerate(self.after[:-1]):
                    for i in range(LAYERS):
                        mask = torch.full((1, HEADS, 1, n + t + 1), -1e9)
                        for h in range(HEADS):
                            mask[0, h, 0, [*alive[i][h // 2], n + t]] = 0
                        masks[i] = mask
                    out = self.model.model(
                        token[None, None],
                        past_key_values=cache,
                        position_ids=torch.tensor([[n + t]]),
                        output_attentions=True,
                    )
                    log_p = out.logits[0, -1].double().log_softmax(-1)
                    surprisal.append(-float(log_p[self.after[t + 1]]))
                    for i, w in enumerate(out.attentions):
                        for g in range(GROUPS):
                            for k in range(2):
                                old = torch.nn.functional.pad(rows[i][g][k], (0, 1))
                                rows[i][g][k] = torch.cat([old, w[0, g * 2 + k].double()])
                            alive[i][g] = evict(i, g, torch.stack(rows[i][g]), alive[i][g] | {n + t})
        finally:
            self.model.model.set_attn_implementation(before)
            for handle in handles:
                handle.remove()
        return np.array(surprisal), alive

    def best(self, score: torch.Tensor, alive: set[int], count: int) -> set[int]:
        order = sorted(alive, key=lambda j: (-float(score[j]), j))
        if 0 < count < len(order):
            kept, gone = (float(score[j]) for j in order[count - 1 : count + 1])
            self.narrowest = min(self.narrowest, (kept - gone) / abs(kept))
        return set(order[:count])


def h2o(loop: Loop, factor: float = 1.0, recent_share: float = 0.5):
    def evict(_layer, _group, rows, alive):
        n_rows, total = rows.shape[1:]
        fade = factor ** torch.arange(n_rows - 1, -1, -1, dtype=torch.float64)
        score = (rows.mean(0) * fade[:, None]).sum(0)
        recent = int(loop.budget * recent_share)
        newest = set(range(total - recent, total))
        return newest | loop.best(score, alive - newest, loop.budget - recent)

    return evict


def window(loop: Loop, sinks: int = 0):
    def evict(_layer, _group, rows, alive):
        total = rows.shape[-1]
        return set(range(sinks)) | set(range(total - loop.budget + sinks, total))

    return evict


def ours(model, method, steps: int = STEPS):
    loop = Loop(model, SHARE)
    after = model.tokenizer.decode(loop.after)
    sweep = sweep_decoding(model, CONTEXT, after, [method], [SHARE])
    assert sweep.spec.n_continuation == steps + 1 and sweep.spec.mode == "decode"
    return sweep


@pytest.mark.parametrize(
    ("method", "make"),
    [
        ("h2o", h2o),
        (A2SF(factor=0.9, recent_share=0.25), lambda loop: h2o(loop, 0.9, 0.25)),
        ("window", window),
        ("streaming", lambda loop: window(loop, 4)),
    ],
    ids=["h2o", "a2sf", "window", "streaming"],
)
def test_25_steps_equal_a_plain_loop(fresh_llama, method, make):
    llama = fresh_llama  # the library leaves hooks on a model that was asked for its maps
    loop = Loop(llama, SHARE)
    surprisal, alive = loop.run(make(loop))
    sweep = ours(llama, method)
    np.testing.assert_allclose(sweep.surprisal[1, 1:], surprisal, atol=loop.near, rtol=0)
    assert loop.narrowest > 64 * budget.EPS, loop.narrowest  # no tie on the way, or the sets might differ
    n = len(loop.context)
    for layer in range(LAYERS):
        for group in range(GROUPS):
            left = {j for j in alive[layer][group] if j < n}
            assert set(np.flatnonzero(sweep.kept(1)[layer, group])) == left
    assert np.abs(surprisal - sweep.surprisal[0, 1:]).max() > 0.05  # evicting mattered


def test_25_steps_of_tova_equal_a_plain_loop(fresh_llama):
    """One set per layer, from the last row of all heads: decided when the second KV head's rows are there."""
    llama = fresh_llama
    loop = Loop(llama, SHARE)
    n = len(loop.context)
    first_rows: dict[int, torch.Tensor] = {}
    kept: list[set[int]] = [set(range(n)) for _ in range(LAYERS)]  # held by both KV heads of a layer

    def evict(layer, group, rows, _alive):
        if group == 0:
            first_rows[layer] = rows[:, -1]
            return kept[layer]
        total = rows.shape[-1]
        score = torch.cat([first_rows[layer], rows[:, -1]]).mean(0)
        if total == n:
            score[-1] = torch.inf  # once-only eviction protects the last token
        alive = kept[layer] | {total - 1}
        kept[layer] &= set()
        kept[layer] |= loop.best(score, alive, loop.budget)
        return kept[layer]

    surprisal, _ = loop.run(evict)
    sweep = ours(llama, "tova")
    np.testing.assert_allclose(sweep.surprisal[1, 1:], surprisal, atol=loop.near, rtol=0)
    assert loop.narrowest > 64 * budget.EPS, loop.narrowest  # no tie on the way, or the sets might differ
    for layer in range(LAYERS):
        for group in range(GROUPS):
            assert set(np.flatnonzero(sweep.kept(1)[layer, group])) == {j for j in kept[layer] if j < n}


def test_the_full_cache_is_the_once_only_one(llama):
    import analysis as an

    steps = sweep_decoding(llama, CONTEXT, AFTER, ["window"], [0.5])
    once = an.sweep_eviction(llama, CONTEXT, AFTER, ["window"], [0.5])
    near = budget.rounding_in(llama, CONTEXT + AFTER)
    np.testing.assert_allclose(steps.surprisal[0], once.surprisal[0], atol=near, rtol=0)
    np.testing.assert_allclose(steps.future, once.future, atol=budget.WEIGHT, rtol=0)
    # The first token after the context sees the same in both; later ones see less step by step.
    np.testing.assert_allclose(steps.surprisal[1, 1], once.surprisal[1, 1], atol=near, rtol=0)
    assert np.abs(steps.surprisal[1] - once.surprisal[1]).max() > 1e-3
    assert steps.kept(1).sum() < once.kept(1).sum() and steps.settings[1].budget == once.settings[1].budget


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "smollm3", "gpt_oss"])
def test_every_method_steps_in_other_families(load_tiny, family):
    sweep = sweep_decoding(load_tiny(family), CONTEXT, AFTER, STEPWISE, [0.5], seeds=1)
    names = [s.policy for s in sweep.settings]
    assert set(names) == {"full", *STEPWISE} - ({"keyformer"} if family == "gemma2" else set())
    frame = sweep.to_frame()
    assert np.isfinite(frame["nll"]).all() and (frame["kl"][1:] > 0).all()
    assert ((frame["retained_mass"][1:] > 0) & (frame["retained_mass"][1:] < 1)).all()
    assert frame["retained_mass"][0] == pytest.approx(1)


def test_keyformer_heats_its_softmax():
    """Its step against the softmax of noisy scores, from scores that are known."""
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 20, generator=draw).double() * 2  # L, H, T + 1
    weights = scores.softmax(-1)
    method, before = Keyformer(), torch.rand(3, 2, 19, generator=draw)
    after = method.step(before, weights.float(), 4, 10)
    noise = torch.stack([method.noise(layer, 2, 20) for layer in range(3)]).double().repeat_interleave(2, 1)
    noisy = ((scores + noise) / 1.5).softmax(-1)
    expected = torch.cat([before, torch.zeros(3, 2, 1)], -1) + (noisy[:, 0::2] + noisy[:, 1::2]) / 2
    torch.testing.assert_close(after, expected.float(), atol=1e-5, rtol=1e-4)


def test_the_tokens_read_so_far_are_shown(llama, monkeypatch):
    from analysis.pruning_effects.eviction import decoding

    monkeypatch.setattr(decoding, "_SHOW_SECONDS", 0.0)
    seen = []
    whole = sweep_decoding(
        llama, CONTEXT, AFTER, ["h2o", "tova"], [0.5, 0.3], answer=" Noon.", on_partial=seen.append
    )
    n = len(whole.continuation_tokens)
    assert [part.spec.n_continuation for part in seen] == list(range(2, n + 1))
    for part in seen:
        m = part.spec.n_continuation
        assert len(part.continuation_tokens) == len(part.continuation_ids) == m and len(part.settings) == 5
        np.testing.assert_array_equal(part.kl, whole.kl[:, :m])
        assert (part.spec.n_answer > 0) == (m == n) and len(part.to_frame()) == 5
    np.testing.assert_array_equal(seen[-1].mass, whole.mass)


def test_a_cancelled_decoding_keeps_what_was_shown(llama, monkeypatch):
    from analysis.errors import Cancelled
    from analysis.pruning_effects.eviction import decoding

    monkeypatch.setattr(decoding, "_SHOW_SECONDS", 0.0)
    seen = []

    def progress(_share, what):
        if what.startswith("token 5 "):
            raise Cancelled

    with pytest.raises(Cancelled):
        sweep_decoding(llama, CONTEXT, AFTER, ["h2o"], [0.5], on_progress=progress, on_partial=seen.append)
    assert seen[-1].spec.n_continuation == 5 and np.isfinite(seen[-1].to_frame()["kl"]).all()


def test_methods_that_decide_once_are_named(llama):
    sweep = sweep_decoding(llama, CONTEXT, AFTER, ["snapkv", "h2o", "expected"], [0.5])
    assert [s.policy for s in sweep.settings] == ["full", "h2o"]
    assert set(sweep.skipped) == {"SnapKV", "expected attention"}
    with pytest.raises(AnalysisError, match="None of these methods can evict step by step"):
        sweep_decoding(llama, CONTEXT, AFTER, ["snapkv"], [0.5])
