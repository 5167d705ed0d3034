"""A sweep as a user runs it: what is refused, what is skipped, what a partial one holds, what is put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import AnalysisError, Cancelled, InvalidTextError, TooLongError
from analysis.pruning_effects.eviction import sweep as sweep_module
from analysis.pruning_effects.eviction.policies import policy
from analysis.pruning_effects.eviction.sweep_file import sweep_bytes, sweep_from_bytes
from tests import budget

CONTEXT = "The cat sat on the mat, and the dog ran to the river in the morning; it was not there. " * 3
AFTER = " They went home again and slept until noon, when the rain began."
METHODS = ("streaming", "random", "h2o", "expected")


@pytest.fixture(scope="module")
def sweep(llama):
    return an.sweep_eviction(llama, CONTEXT, AFTER, METHODS, [0.8, 0.4], seeds=3)


# Refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "after", "options", "kind", "words"),
    [
        ("", AFTER, {}, InvalidTextError, "context is empty"),
        (" \n ", AFTER, {}, InvalidTextError, "context is empty"),
        (CONTEXT, "", {}, InvalidTextError, "nothing after the context"),
        (CONTEXT, "  ", {}, InvalidTextError, "nothing after the context"),
        (CONTEXT, "Q", {}, InvalidTextError, "two tokens each"),
        ("Q", AFTER, {}, InvalidTextError, "two tokens each"),
        (CONTEXT, AFTER * 80, {}, TooLongError, "tokens together"),
        (CONTEXT * 20, AFTER, {}, TooLongError, "reads at most 2,048"),
        (CONTEXT, AFTER, {"kept": [0.5, 0]}, AnalysisError, "share of 0 cannot"),
        (CONTEXT, AFTER, {"kept": [1.5]}, AnalysisError, "share of 1.5 cannot"),
        (CONTEXT, AFTER, {"kept": [-1], "policies": ["bypass"]}, AnalysisError, "share of -1 cannot"),
        (CONTEXT, AFTER, {"kept": [float("nan")]}, AnalysisError, "share of nan cannot"),
        (CONTEXT, AFTER, {"policies": ["magic"]}, AnalysisError, "no eviction method called 'magic'"),
    ],
)
def test_what_cannot_be_swept_is_one_clear_sentence(llama, context, after, options, kind, words):
    with pytest.raises(kind, match=words) as caught:
        an.sweep_eviction(llama, context, after, **options)
    message, hint = str(caught.value), caught.value.hint
    assert hint and "\n" not in message and message.endswith(".") and len(message) < 400


def test_an_answer_alone_is_enough(llama):
    sweep = an.sweep_eviction(llama, CONTEXT, "", ["window"], [0.5], answer=" the river")
    assert sweep.spec.n_answer == len(sweep.continuation_tokens) >= 2
    frame = sweep.to_frame()
    np.testing.assert_allclose(frame["answer_logp"], -sweep.surprisal.astype(float).sum(1))


def test_special_tokens_are_read_as_in_a_run(llama):
    from analysis.models.tokenization import encode
    from analysis.pruning_effects.eviction.decoding import sweep_decoding

    marked = f"{llama.tokenizer.eos_token}{CONTEXT}"
    read = [("auto", True), ("always", True), ("never", False)]
    found = {}
    for bos, special in read:
        tokens = encode(llama.tokenizer, marked, bos=bos, parse_special=special)
        options = {"bos": bos, "parse_special": special}
        for sweep in (an.sweep_eviction, sweep_decoding):
            result = sweep(llama, marked, AFTER, ["window"], [0.5], **options)
            assert result.spec.n_context == len(tokens)
        found[bos] = len(tokens)
        grid = an.knock_out_horizon(llama, marked, "", AFTER, [len(tokens) - 2], **options)
        assert grid["change"].iloc[-1] == 0
    assert len(set(found.values())) == 3


# Skipped ----------------------------------------------------------------------------------------------


def test_a_budget_below_the_protected_tokens_is_skipped_with_its_reason(llama):
    sweep = an.sweep_eviction(llama, CONTEXT, AFTER, ["snapkv", "streaming"], [0.8, 0.02])
    assert [(s.policy, s.kept) for s in sweep.settings[1:]] == [("snapkv", 0.8), ("streaming", 0.8)]
    n = sweep.spec.n_context
    assert sweep.skipped == {
        "SnapKV at 0.02": f"It always keeps 64 tokens, more than the {int(0.02 * n)} that this share leaves.",
        "sinks + window at 0.02": f"It always keeps 4 tokens, more than the {int(0.02 * n)} that this share leaves.",
    }


def test_the_full_cache_is_not_run_twice(llama):
    sweep = an.sweep_eviction(llama, CONTEXT, AFTER, ["full", "window"], [0.5])
    assert [s.policy for s in sweep.settings] == ["full", "window"]


# What it holds ----------------------------------------------------------------------------------------


def test_settings_and_budgets(sweep):
    labels = [(s.policy, s.kept, s.seed) for s in sweep.settings]
    random = [("random", share, seed) for share in (0.8, 0.4) for seed in range(3)]
    assert labels == [
        ("full", 1.0, 0),
        ("streaming", 0.8, 0),
        ("streaming", 0.4, 0),
        *random,
        ("h2o", 0.8, 0),
        ("h2o", 0.4, 0),
        ("expected", 0.8, 0),
        ("expected", 0.4, 0),
    ]
    n = sweep.spec.n_context
    for index, setting in enumerate(sweep.settings):
        assert setting.budget == 4 * int(setting.kept * n) == sweep.kept(index).sum()
        assert setting.deletes and setting.computed == 1.0
    assert sweep.kept(0).all()


def test_the_numbers_are_those_of_a_dense_forward(llama, sweep):
    """Setting h2o at 0.4, from the library's eager attention with a mask of our own making."""
    index = [s.policy for s in sweep.settings].index("h2o") + 1
    kept = torch.from_numpy(sweep.kept(index))
    tokens = (
        llama.tokenizer(CONTEXT)["input_ids"],
        llama.tokenizer(AFTER, add_special_tokens=False)["input_ids"],
    )
    n, m = map(len, tokens)
    assert (n, m) == (sweep.spec.n_context, sweep.spec.n_continuation)
    seen = torch.ones(n + m, n + m, dtype=torch.bool).tril()
    handles = []

    def masked(layer):
        def hook(_module, args, kwargs):
            mask = seen.repeat(4, 1, 1)
            for head in range(4):
                mask[head, n:, :n] &= kept[layer, head // 2]
            kwargs["attention_mask"] = torch.zeros(1, 4, n + m, n + m).masked_fill(~mask, -1e9)
            return args, kwargs

        return hook

    before = llama.model.config._attn_implementation
    try:
        llama.model.set_attn_implementation("eager")
        for i, layer in enumerate(llama.anatomy.layers):
            handles.append(layer.self_attn.register_forward_pre_hook(masked(i), with_kwargs=True))
        with torch.inference_mode():
            ids = torch.tensor([*tokens[0], *tokens[1]])
            log_p = llama.model(ids[None], use_cache=False).logits[0].double().log_softmax(-1)
    finally:
        llama.model.set_attn_implementation(before)
        for handle in handles:
            handle.remove()
    dense = -log_p[n - 1 : -1].gather(1, ids[n:, None])[:, 0].numpy()
    np.testing.assert_allclose(sweep.surprisal[index], dense, atol=5e-4)
    assert np.abs(dense - sweep.surprisal[0]).max() > 0.1


def test_the_first_token_was_predicted_before_anything_was_evicted(sweep):
    assert (sweep.surprisal[:, 0] == sweep.surprisal[0, 0]).all() and (sweep.kl[:, 0] == 0).all()
    frame = sweep.to_frame()
    np.testing.assert_allclose(frame["nll"], sweep.surprisal[:, 1:].astype(float).mean(1))
    assert frame["kl"][0] == 0 and (frame["kl"][1:] > 0).all()
    assert frame["top1_agreement"][0] == 1


def test_retained_mass_is_the_share_of_the_attention_that_was_paid(sweep):
    assert sweep.mass[0] == pytest.approx(1)
    for index in range(len(sweep.settings)):
        kept = sweep.kept(index)
        share = (sweep.future * kept).sum(-1) / sweep.future.sum(-1)
        assert sweep.mass[index] == pytest.approx(share.mean(), abs=1e-5)
        assert sweep.oracle(index).sum() == kept.sum()


def test_what_deletes_nothing_says_so(load_tiny):
    sweep = an.sweep_eviction(load_tiny("gemma2"), CONTEXT, AFTER, ["tokenselect", "bypass"], [0.75])
    _, selecting, passing = sweep.settings
    assert not selecting.deletes and selecting.computed == 1.0
    assert not passing.deletes and passing.computed == pytest.approx(0.75, abs=0.05)
    assert sweep.kept(1).all() and sweep.kept(2).all() and np.isnan(sweep.mass[1:]).all()
    assert (sweep.kl[1:, 1:].mean(1) > 1e-3).all()


def test_it_comes_back_from_its_file(sweep):
    assert sweep_bytes(sweep_from_bytes(sweep_bytes(sweep))) == sweep_bytes(sweep)


def test_it_is_deterministic(llama, sweep):
    again = an.sweep_eviction(llama, CONTEXT, AFTER, METHODS, [0.8, 0.4], seeds=3)
    np.testing.assert_array_equal(again.kl, sweep.kl)
    np.testing.assert_array_equal(again.kept_bits, sweep.kept_bits)


def test_a_setting_does_not_depend_on_its_company(llama, sweep):
    alone = an.sweep_eviction(llama, CONTEXT, AFTER, ["expected"], [0.4])
    near = budget.rounding_in(llama, CONTEXT + AFTER)
    np.testing.assert_allclose(alone.surprisal[1], sweep.surprisal[-1], atol=near, rtol=0)
    np.testing.assert_array_equal(alone.kept(1), sweep.kept(len(sweep.settings) - 1))


def test_constants_of_a_method_can_be_chosen(llama):
    from analysis.pruning_effects.eviction.policies.a2sf import A2SF

    methods = [A2SF(factor=1.0, recent_share=0.5), policy("h2o"), A2SF(factor=0.2)]
    sweep = an.sweep_eviction(llama, CONTEXT, AFTER, methods, [0.4])
    np.testing.assert_array_equal(sweep.kept(1), sweep.kept(2))
    assert (sweep.kept(1) != sweep.kept(3)).any()


# Partial ones, cancelling, putting back ---------------------------------------------------------------


def test_partial_sweeps_grow_and_agree_with_the_whole(llama, monkeypatch):
    monkeypatch.setattr(sweep_module, "_BATCH_TOKENS", 3 * len(llama.tokenizer(AFTER)["input_ids"]))
    seen = []
    whole = an.sweep_eviction(
        llama, CONTEXT, AFTER, METHODS, [0.8, 0.4], seeds=2, on_partial=lambda part: seen.append(part)
    )
    counts = [len(part.settings) for part in seen]
    assert counts == sorted(set(counts)) and counts[-1] == len(whole.settings) and len(counts) >= 3
    for part in seen:
        done = len(part.settings)
        assert part.settings == whole.settings[:done]
        np.testing.assert_array_equal(part.kl, whole.kl[:done])
        assert len(part.to_frame()) == done and part.mass.shape == (done,)


def test_cancelled_midway_the_finished_part_is_kept_and_all_is_put_back(llama, monkeypatch):
    monkeypatch.setattr(sweep_module, "_BATCH_TOKENS", 2 * len(llama.tokenizer(AFTER)["input_ids"]))
    seen = []
    before = llama.model.config._attn_implementation
    hooks_before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in llama.model.modules()]

    def progress(_share, what):
        if seen and len(seen) == 2 and what.startswith("settings"):
            raise Cancelled

    with pytest.raises(Cancelled):
        an.sweep_eviction(
            llama, CONTEXT, AFTER, METHODS, [0.8, 0.4], on_progress=progress, on_partial=seen.append
        )
    assert len(seen) == 2 and len(seen[-1].settings) >= 3
    assert np.isfinite(seen[-1].to_frame()["kl"]).all()
    assert llama.model.config._attn_implementation == before
    assert hooks_before == [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in llama.model.modules()]
    assert llama.lock.acquire(blocking=False)
    llama.lock.release()


@pytest.mark.parametrize("word", ["context, layer 1", "settings"])
def test_cancelled_at_any_stage_the_model_still_works(llama, sweep, word):
    def progress(_share, what):
        if what.startswith(word):
            raise Cancelled

    with pytest.raises(Cancelled):
        an.sweep_eviction(llama, CONTEXT, AFTER, METHODS, [0.4], on_progress=progress)
    again = an.sweep_eviction(llama, CONTEXT, AFTER, METHODS, [0.8, 0.4], seeds=3)
    np.testing.assert_array_equal(again.kl, sweep.kl)


def test_progress_never_falls_and_ends_at_one(llama):
    shares = []
    an.sweep_eviction(
        llama, CONTEXT, AFTER, METHODS, [0.5], on_progress=lambda share, _what: shares.append(share)
    )
    assert shares == sorted(shares) and shares[-1] == 1.0 and shares[0] < 0.35


def test_faster_products_are_the_same_products_and_are_put_back(llama):
    from analysis.models.linear import fast_linears

    ids = torch.arange(5, 60)[None]
    linears = [m for m in llama.model.modules() if type(m) is torch.nn.Linear]
    with llama.lock, torch.inference_mode():
        plain = llama.model(ids, use_cache=False).logits
        with pytest.raises(RuntimeError, match="stop"), fast_linears(llama.model):
            assert all("forward" in vars(m) for m in linears)
            fast = llama.model(ids, use_cache=False).logits
            raise RuntimeError("stop")
    assert not any("forward" in vars(m) for m in linears)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
