"""A pruned cache in every family: against the library's own forward, real deletion, and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.kv_cache import eviction_attention as kept_attention
from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.continuation import compacted, run_continuation
from analysis.kv_cache.eviction_attention import GeneratedCache, Special
from analysis.kv_cache.prefill import read_prefix
from analysis.pruning_effects.eviction.damage import compare
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, save_tiny

ALL = FAMILIES + FAMILIES_EXTRA
NO_WINDOWS = (
    "llama",
    "qwen2",
    "qwen3",
    "phi3",
    "gpt2",
    "gpt_neox",
    "opt",
    "olmo2",
    "mixtral",
    "phi",
    "cohere",
    "granite",
)
MIXTURES = ("mixtral", "gpt_oss")
N, M = 70, 24


def some_ids(n: int = N + M, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 290, (n,), generator=torch.Generator().manual_seed(seed))


def opened(model, n: int = N):
    """The prefix of a context and its continuation."""
    ids = some_ids()
    with model.lock, torch.inference_mode():
        prefix = read_prefix(model, ids[:n], lambda _view: None, layout=cache_facts(model).layout)
    return prefix, ids[n:]


def random_keep(prefix, settings: int, share: float = 0.5, *, equal: bool = True) -> torch.Tensor:
    """Kept sets (S, L, G, n): equally many tokens everywhere, or not."""
    draw = torch.Generator().manual_seed(5)
    shape = settings, len(prefix.keys), prefix.keys[0].shape[0], prefix.n_tokens
    noise = torch.rand(shape, generator=draw)
    return noise.argsort(-1) < int(share * shape[-1]) if equal else noise < share


def logits_of(model, prefix, ids, keep, **options) -> torch.Tensor:
    with model.lock, torch.inference_mode():
        states = run_continuation(model, prefix, ids, keep, **options)
        return torch.stack([model.anatomy.head.logits(one) for one in states])


@pytest.fixture(params=["gathered", "masked"])
def way(request, monkeypatch):
    """Both ways of attending to what is kept."""
    monkeypatch.setattr(kept_attention, "_MANY_QUERIES", 1 if request.param == "gathered" else 10**9)
    return request.param


# Nothing pruned ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL)
def test_nothing_pruned_is_the_library(load_tiny, family, way):
    model = load_tiny(family)
    prefix, after = opened(model)
    keep = torch.ones_like(random_keep(prefix, 3))
    with model.lock, torch.inference_mode():
        whole = model.model(torch.cat([prefix.ids, after])[None], use_cache=False).logits[0].double()
        states = run_continuation(model, prefix, after, keep)
        ours = model.anatomy.head.logits(states[0]).double()
        rows = compare(model.anatomy.head, states[0], states, after, 3)
    near = budget.WIDE * budget.rounding(whole)
    if family in MIXTURES:  # tokens of all rows are sorted by expert: which sums round alike is chance
        assert rows.kl.max() < near
    else:
        assert (rows.kl == 0).all() and torch.equal(states[0], states[2])
    p, q = whole[N:].log_softmax(-1), ours.log_softmax(-1)
    assert float((p.exp() * (p - q)).sum(-1).max()) < near
    assert (p - q).abs().max() < near


@pytest.mark.parametrize("family", ALL)
def test_token_by_token_is_the_same(load_tiny, family):
    """Windows, caps and sinks over the tokens of the continuation itself, kept from step to step."""
    model = load_tiny(family)
    prefix, after = opened(model)
    keep = random_keep(prefix, 2, 0.6, equal=False)
    at_once = logits_of(model, prefix, after, keep)
    own, steps = GeneratedCache(), []
    for t in range(M):
        steps.append(logits_of(model, prefix, after[t : t + 1], keep, own=own))
    assert own.n_tokens == M
    near = budget.WIDE * budget.rounding(at_once)
    torch.testing.assert_close(torch.cat(steps, 1), at_once, atol=near, rtol=0)


# Something pruned -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ALL)
def test_both_ways_agree(load_tiny, family, monkeypatch):
    model = load_tiny(family)
    prefix, after = opened(model)
    keep = random_keep(prefix, 4, 0.4, equal=False)
    found = []
    for many in (1, 10**9):
        monkeypatch.setattr(kept_attention, "_MANY_QUERIES", many)
        found.append(logits_of(model, prefix, after, keep))
    near = budget.WIDE * budget.rounding(*found)
    torch.testing.assert_close(found[0], found[1], atol=near, rtol=0)
    full = logits_of(model, prefix, after, torch.ones_like(keep[:1]))
    assert (found[0] - full).abs().max() > 0.1  # something was pruned


def physical(model, prefix, after, keep, start: int) -> torch.Tensor:
    """Logits from the library with the other keys really gone: its own prefill, cache and attention."""
    from transformers import DynamicCache

    with torch.inference_mode():
        whole = DynamicCache()
        model.model(prefix.ids[None], past_key_values=whole, use_cache=True)
        small = DynamicCache()
        for layer, mask in enumerate(keep):
            held = whole.layers[layer]
            parts = [
                torch.stack([states[0, g][mask[g]] for g in range(len(mask))])[None]
                for states in (held.keys, held.values)
            ]
            small.update(*parts, layer)
        rows = []
        for t, token in enumerate(after):  # one at a time: no mask is made that would count the missing keys
            places = torch.tensor([[start + t]])
            rows.append(model.model(token[None, None], past_key_values=small, position_ids=places).logits[0])
    return torch.cat(rows)


@pytest.mark.parametrize("family", NO_WINDOWS)
def test_masked_equals_deleted(load_tiny, family, way):
    model = load_tiny(family)
    prefix, after = opened(model)
    keep = random_keep(prefix, 2)
    ours = logits_of(model, prefix, after, keep)
    theirs = physical(model, prefix, after, keep[1], N)
    assert (ours[1] - theirs).abs().max() < budget.WIDE * budget.rounding(theirs)
    assert (ours[0] - theirs).abs().max() > 0.05


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral"])
def test_rows_that_keep_other_numbers_of_tokens_do_not_disturb_each_other(load_tiny, family, monkeypatch):
    model = load_tiny(family)
    prefix, after = opened(model)
    shares = (1.0, 0.2, 0.9, 0.2, 1.0, 0.5)
    keep = torch.cat([random_keep(prefix, k + 1, share)[-1:] for k, share in enumerate(shares)])
    seen: dict[int, dict[tuple[int, int, int], torch.Tensor]] = {}
    states = {}
    for least in (1, 10**9):
        monkeypatch.setattr(kept_attention, "_MANY_QUERIES", least)
        seen[least] = {}

        def observe(layer, group, rows, old, new, at=seen[least]):
            for i, row in enumerate(range(rows.start, rows.stop)):
                at[layer, group, row] = torch.cat([old[i], new[i]], -1).clone()

        with model.lock, torch.inference_mode():
            states[least] = run_continuation(model, prefix, after, keep, observe=observe, watched=3)
    together, masked = states.values()
    assert (together - masked).abs().max() < budget.WIDE * budget.rounding(masked)
    assert (together[1] - together[3]).abs().max() > 0.01  # two sets of one size
    wanted = {key for key in seen[10**9] if key[2] < 3}
    assert wanted <= set(seen[1]) and len(wanted) == 3 * keep.shape[1] * keep.shape[2]
    for key in wanted:
        torch.testing.assert_close(seen[1][key], seen[10**9][key], atol=budget.WEIGHT, rtol=0)
        torch.testing.assert_close(seen[1][key].sum(-1), torch.ones(seen[1][key].shape[:-1]))


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3", "cohere"])
def test_inferred_positions_would_be_noticed(load_tiny, family):
    """The canary: a cache that infers positions from its own length is orders of magnitude away."""
    model = load_tiny(family)
    prefix, after = opened(model)
    keep = random_keep(prefix, 1)
    ours = logits_of(model, prefix, after, keep)[0]
    right = (ours - physical(model, prefix, after, keep[0], N)).abs().max()
    wrong = (ours - physical(model, prefix, after, keep[0], N // 2)).abs().max()
    assert wrong > 1000 * right and wrong > 0.1


@pytest.mark.embedded
def test_deleted_equals_masked_in_the_embedded_model(smollm2):
    ids = torch.from_numpy(
        np.array(smollm2.tokenizer(" ".join(f"number {i}," for i in range(40)))["input_ids"])
    )
    with smollm2.lock, torch.inference_mode():
        prefix = read_prefix(smollm2, ids[:100], lambda _view: None)
    keep = random_keep(prefix, 1)
    ours = logits_of(smollm2, prefix, ids[100:112], keep)[0]
    theirs = physical(smollm2, prefix, ids[100:112], keep[0], 100)
    assert (ours - theirs).abs().max() < budget.WIDE * budget.rounding(theirs)


@pytest.fixture
def smollm2_double(smollm2):
    """The embedded model in float64; the weights come back unchanged."""
    smollm2.model.double()
    yield smollm2
    smollm2.model.float()


@pytest.mark.embedded
def test_deleted_equals_masked_in_float64(smollm2_double, way):
    model = smollm2_double
    ids = torch.randint(0, 49_000, (96,), generator=torch.Generator().manual_seed(0))
    with model.lock, torch.inference_mode():
        prefix = read_prefix(model, ids[:80], lambda _view: None)
        keep = random_keep(prefix, 1)
        ours = run_continuation(model, prefix, ids[80:], keep)[0] @ model.model.lm_head.weight.T
    theirs = physical(model, prefix, ids[80:], keep[0], 80)
    assert ours.dtype == theirs.dtype == torch.float64
    assert (ours - theirs).abs().max() < 1e-9


# Positions --------------------------------------------------------------------------------------------

LAYOUTS = {
    **dict.fromkeys(("llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3", "phi3", "gpt_neox"), "halves"),
    **dict.fromkeys(("olmo2", "smollm3", "mixtral", "phi", "granite"), "halves"),
    "cohere": "pairs",
    "gpt_oss": "split",
    "gpt2": None,
    "opt": None,
}


@pytest.mark.parametrize("family", ALL)
def test_the_rotary_layout_is_found(load_tiny, family):
    facts = cache_facts(load_tiny(family))
    assert facts.layout == LAYOUTS[family]
    assert facts.has_tables == (family not in ("gpt2", "opt"))
    assert bool(facts.spans) == (family not in NO_WINDOWS)
    assert facts.softcap == (family == "gemma2")


@pytest.mark.parametrize("family", ["llama", "phi3", "cohere", "gpt_neox", "yarn"])
def test_keys_moved_together_are_those_of_a_shorter_text(load_tiny, tmp_path, family):
    """In the first layer a key depends on its token and position alone, so the kept tokens alone give it."""
    if family == "yarn":
        import analysis as an

        stretched = {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 512,
        }
        model = an.load_model(str(save_tiny("llama", tmp_path, rope_parameters=stretched)))
    else:
        model = load_tiny(family)
    prefix, after = opened(model)
    chosen = torch.rand(N, generator=torch.Generator().manual_seed(1)).argsort()[:30].sort().values
    keep = torch.zeros(len(prefix.keys), prefix.keys[0].shape[0], N, dtype=torch.bool)
    keep[..., chosen] = True
    special = compacted(prefix, keep)
    assert special.start == 30
    with model.lock, torch.inference_mode():
        short = read_prefix(model, prefix.ids[chosen], lambda _view: None)
    near = budget.STATES * budget.largest(short.keys[0])
    torch.testing.assert_close(special.keys[0][:, chosen], short.keys[0], atol=near, rtol=0)
    assert (special.keys[0][:, chosen] - prefix.keys[0][:, chosen]).abs().max() > 0.1
    if family == "yarn":
        assert float(prefix.rotations[0].cos[0].max()) > 1.05  # or nothing was stretched
    # Keys where they stood before are the cache itself.
    everything = compacted(prefix, torch.ones_like(keep))
    near = budget.STATES * budget.largest(prefix.keys[0])
    torch.testing.assert_close(everything.keys[0], prefix.keys[0], atol=near, rtol=0)
    far = logits_of(model, prefix, after, torch.ones_like(keep)[None])
    moved = logits_of(model, prefix, after, torch.ones_like(keep)[None], special={0: everything})
    torch.testing.assert_close(moved, far, atol=budget.WIDE * budget.rounding(far), rtol=0)


def test_unequal_sets_cannot_be_moved_together(load_tiny):
    prefix, _ = opened(load_tiny("llama"))
    with pytest.raises(ValueError, match="equally many"):
        compacted(prefix, random_keep(prefix, 1, equal=False)[0])


def test_other_keys_are_used(load_tiny):
    """Keys of one setting replace the context's for that row alone."""
    model = load_tiny("llama")
    prefix, after = opened(model)
    keep = torch.ones_like(random_keep(prefix, 2))
    zeros = [torch.zeros_like(key) for key in prefix.keys]
    changed = logits_of(model, prefix, after, keep, special={1: Special(keys=zeros)})
    plain = logits_of(model, prefix, after, keep)
    assert torch.equal(changed[0], plain[0]) and (changed[1] - plain[1]).abs().max() > 0.1


# What it costs ----------------------------------------------------------------------------------------


def test_damage_equals_float64(load_tiny):
    model = load_tiny("gemma2")  # its head has a soft cap
    prefix, after = opened(model)
    keep = random_keep(prefix, 3, 0.3)
    keep[0] = True
    with model.lock, torch.inference_mode():
        states = run_continuation(model, prefix, after[:-1], keep)
        found = compare(model.anatomy.head, states[0], states, after[1:], 5)
        weight = model.anatomy.head.weight.double()
        logits = states.double() @ weight.T
        logits = model.anatomy.head.softcap * torch.tanh(logits / model.anatomy.head.softcap)
    log_p = logits.log_softmax(-1)
    targets = after[1:].expand(3, -1)[..., None]
    near = budget.rounding(logits)
    np.testing.assert_allclose(found.surprisal, -log_p.gather(-1, targets)[..., 0].numpy(), atol=near, rtol=0)
    kl = (log_p[:1].exp() * (log_p[:1] - log_p)).sum(-1)
    np.testing.assert_allclose(found.kl, kl.numpy(), atol=near, rtol=0)
    assert (found.kl[0] == 0).all() and found.kl[1:].mean() > 0.01
    top = log_p.topk(5, dim=-1)
    np.testing.assert_array_equal(found.top_ids, top.indices.numpy())
    np.testing.assert_allclose(found.top_logprobs, top.values.numpy(), atol=near, rtol=0)
