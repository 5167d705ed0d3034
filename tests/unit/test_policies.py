"""Every eviction method against its formula, written out densely in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from analysis.forward.attention import attend
from analysis.forward.visibility import CAUSAL
from analysis.kv_cache.capabilities import cache_facts
from analysis.kv_cache.layer_view import LayerView
from analysis.kv_cache.prefill import read_prefix
from analysis.kv_cache.rotary import Rotation
from analysis.pruning_effects.eviction.context_run import read_context
from analysis.pruning_effects.eviction.planned import Planned, plan_settings
from analysis.pruning_effects.eviction.policies import POLICIES, controls_of, policy
from analysis.pruning_effects.eviction.policies.a2sf import A2SF
from analysis.pruning_effects.eviction.policies.adakv import AdaKV
from analysis.pruning_effects.eviction.policies.bypass import Bypass
from analysis.pruning_effects.eviction.policies.chunks import Chunks
from analysis.pruning_effects.eviction.policies.criticalkv import CriticalKV, value_norms
from analysis.pruning_effects.eviction.policies.h2o import H2O
from analysis.pruning_effects.eviction.policies.keyformer import Keyformer
from analysis.pruning_effects.eviction.policies.observation import OBSERVATION
from analysis.pruning_effects.eviction.policies.snapkv import SnapKV
from analysis.pruning_effects.eviction.policies.tokenselect import TokenSelect
from analysis.pruning_effects.eviction.sweep import sweep_eviction
from analysis.pruning_effects.eviction.texts import encode_texts
from app import state
from tests import budget

H, G, N, D = 6, 2, 90, 8
TEXT = "The cat sat on the mat, and the dog ran to the river in the morning; it was not there. " * 2
AFTER = " They went home again and slept until noon."


def look_at(method, n: int = N, *, module: nn.Module | None = None, layer: int = 0, **options):
    """A view of a layer with random queries, keys and values and the sums for a method, and the dense map."""
    draw = torch.Generator().manual_seed(1)
    query = torch.randn(H, n, D, generator=draw) * 1.5
    key, value = (torch.randn(G, n, D, generator=draw) for _ in range(2))
    named = method.weightings(n)
    weights = np.stack(list(named.values()), 1) if named else np.ones((n, 1))
    scale = D**-0.5
    attended = attend(query, key, value, scale=scale, weightings=torch.from_numpy(weights).float(), **options)
    view = LayerView(
        layer=layer,
        module=module or nn.Identity(),
        query=query,
        key=key,
        value=value,
        scale=scale,
        softcap=None,
        span=options.get("span", CAUSAL),
        sink_logits=None,
        columns={name: attended.columns[:, i] for i, name in enumerate(named)},
        rotation=None,
    )
    scores = query.double() @ key.double().repeat_interleave(H // G, 0).transpose(1, 2) * scale
    hidden = torch.ones(n, n, dtype=torch.bool).triu(1)
    dense = scores.masked_fill(hidden, -torch.inf)
    return view, dense


def grouped(values: torch.Tensor) -> torch.Tensor:
    """Mean over query heads 0-2 and 3-5, written with the map h // g."""
    out = torch.zeros(G, *values.shape[1:], dtype=values.dtype)
    for head in range(H):
        out[head // (H // G)] += values[head] / (H // G)
    return out


def scored(method, **options):
    view, dense = look_at(method, **options)
    return method.score(view), dense


# Scores -----------------------------------------------------------------------------------------------


def test_h2o_is_the_column_sum():
    score, dense = scored(H2O())
    torch.testing.assert_close(score, grouped(dense.softmax(-1)).sum(1).float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 0.95, 0.2, 1e-12])
def test_a2sf_forgets(factor):
    score, dense = scored(A2SF(factor=factor))
    weights = grouped(dense.softmax(-1))
    expected = torch.zeros(G, N, dtype=torch.float64)
    for i in range(N):
        expected = factor * expected + weights[:, i]
    torch.testing.assert_close(score, expected.float(), rtol=1e-5, atol=1e-6)
    if factor == 1.0:
        torch.testing.assert_close(score, scored(H2O())[0])
    if factor < 1e-9:
        torch.testing.assert_close(score, weights[:, -1].float(), rtol=1e-5, atol=1e-6)


def test_observed_attention_is_a_mean():
    score, dense = scored(policy("observed"))
    mean = grouped(dense.softmax(-1)).sum(1) / torch.arange(N, 0, -1)
    torch.testing.assert_close(score, mean.float(), rtol=1e-5, atol=1e-7)


def test_tova_is_the_last_row_of_all_heads():
    score, dense = scored(policy("tova"))
    row = dense.softmax(-1)[:, -1].mean(0)
    assert score.shape == (1, N) and score[0, -1] == torch.inf
    torch.testing.assert_close(score[0, :-1], row[:-1].float(), rtol=1e-5, atol=1e-7)


def test_snapkv_pools_the_votes_of_the_window():
    method = SnapKV(window=16, kernel=5)
    score, dense = scored(method)
    votes = dense.softmax(-1)[:, -16:, :-16].mean(1)
    padded = torch.nn.functional.pad(votes, (2, 2))
    pooled = sum(padded[:, i : i + N - 16] for i in range(5)) / 5
    torch.testing.assert_close(score[:, :-16], grouped(pooled).float(), rtol=1e-5, atol=1e-7)
    assert (score[:, -16:] > score[:, :-16].max()).all()


def test_the_ems_like_score_adds_a_global_and_a_local_part():
    score, dense = scored(policy("ems-like"))
    weights = grouped(dense.softmax(-1))
    parts = weights.sum(1) / torch.arange(N, 0, -1), weights[:, -32:].sum(1)
    expected = sum(p[:, :-32] / p[:, :-32].amax(-1, keepdim=True) for p in parts)
    torch.testing.assert_close(score[:, :-32], expected.float(), rtol=1e-5, atol=1e-6)


def test_keyformer_adds_its_noise_before_the_softmax():
    method = Keyformer()
    score, dense = scored(method, layer=3)
    noise = method.noise(3, G, N).double()
    noisy = (dense + noise.repeat_interleave(H // G, 0)[:, None]).softmax(-1)
    torch.testing.assert_close(score, grouped(noisy).sum(1).float(), rtol=1e-4, atol=1e-5)
    plain = grouped(dense.softmax(-1)).sum(1)
    assert (score - plain).abs().max() > 0.5


def test_gumbel_noise_has_its_mean_and_variance():
    noise = Keyformer().noise(0, 50, 4000)
    assert abs(float(noise.mean()) - 0.5772) < 0.01
    assert abs(float(noise.var()) - np.pi**2 / 6) < 0.03
    assert not torch.equal(noise, Keyformer().noise(1, 50, 4000))
    assert not torch.equal(noise, Keyformer(draw=1).noise(0, 50, 4000))
    assert torch.equal(noise[:, :10], Keyformer().noise(0, 50, 10))  # a longer text begins alike


# Values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True], ids=["Linear", "Conv1D"])
def test_value_norms_go_through_the_output_projection(transposed):
    module = nn.Module()
    if transposed:
        module.c_attn, module.c_proj = Conv1D(3 * H * D, H * D), Conv1D(H * D, H * D)
        matrix = module.c_proj.weight
    else:
        module.q_proj, module.o_proj = nn.Linear(H * D, H * D), nn.Linear(H * D, H * D)
        matrix = module.o_proj.weight.T
    view, _ = look_at(CriticalKV(), module=module)
    expected = torch.zeros(G, N)
    for head in range(H):
        whole = torch.zeros(N, H * D)
        whole[:, head * D : (head + 1) * D] = view.value[head // (H // G)]
        expected[head // (H // G)] += (whole @ matrix).abs().sum(-1).detach() / (H // G)
    with torch.no_grad():
        torch.testing.assert_close(value_norms(view), expected, rtol=1e-4, atol=1e-5)


def test_half_the_budget_is_safe_from_small_values():
    by_score = torch.tensor([9.0, 8, 7, 6, 5, 4, 3, 2])
    norms = torch.tensor([0.1, 0.1, 0.1, 0.1, 1, 1, 2, 9])
    scores = torch.stack([by_score, by_score * norms])[None, :, None]
    kept = CriticalKV().keep(scores, np.array([4]))[0, 0]
    assert kept.nonzero()[:, 0].tolist() == [0, 1, 6, 7]


# What is kept -----------------------------------------------------------------------------------------


def test_h2o_keeps_the_newest_and_the_heaviest():
    scores = torch.tensor([5.0, 1, 4, 2, 3, 0, 0, 0])[None, None]
    assert H2O().keep(scores, np.array([5]))[0, 0].nonzero()[:, 0].tolist() == [0, 2, 4, 6, 7]


def test_adaptive_budgets_move_between_heads_and_keep_a_floor():
    scores = torch.stack([torch.arange(100.0) + 1000, torch.arange(100.0)])[None]
    kept = AdaKV().keep(scores, np.array([20]))[0]
    assert kept.sum(-1).tolist() == [36, 4]
    assert kept[1, -4:].all() and kept[0, -36:].all()


def test_spiky_chunks_keep_their_peaks_only():
    """Four chunks of 4 with a peak of 1: the best is spiky, the next even, the rest poor."""
    spiky, even = [0.0, 9.0, 0.0, 0.0], [2.0, 2.0, 2.0, 2.0]
    score = torch.tensor([spiky, even, [0.5] * 4, [0.4] * 4]).flatten()
    method = Chunks(length=4, peak=1)
    assert method._keep_one(score, 5).nonzero()[:, 0].tolist() == [1, 4, 5, 6, 7]
    assert method._keep_one(score, 1).nonzero()[:, 0].tolist() == [1]
    assert method._keep_one(score, 15).sum() == 15
    assert method._keep_one(score, 16).all()


def test_random_differs_between_layers_heads_and_seeds():
    method = policy("random")
    view, _ = look_at(method)
    first = method.score(view)
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, method.score(view)) and method.drawn(0) == method
    assert not torch.equal(first, method.drawn(1).score(view))
    assert not torch.equal(first, method.score(look_at(method, layer=1)[0]))
    assert policy("h2o").drawn(3) == policy("h2o")


# In a model -------------------------------------------------------------------------------------------


def read_with_all(model, after):
    """A context that all methods have scored."""
    with model.lock, torch.inference_mode():
        texts = encode_texts(model, TEXT, after)
        plan = plan_settings(model, texts.context, list(POLICIES), [0.75], seeds=2)
        return read_context(model, texts.context.ids, plan, texts.continuation.ids)


@pytest.fixture(scope="module")
def everything(llama):
    """All methods on one context."""
    return read_with_all(llama, AFTER)


def test_all_but_two_methods_keep_the_same_number(everything):
    # Three quarters of two layers are fewer than the two that a bypass always runs.
    assert set(everything.plan.skipped) == {"layer bypass (untrained) at 0.75"}
    kept_all = {"full", "tokenselect", "bypass"}
    sums = set()
    for planned in everything.plan.settings:
        kept = everything.kept_by(planned)
        assert kept.dtype == torch.bool and kept.shape == (2, 2, everything.n_context)
        if planned.method.name in kept_all:
            assert kept.all()
        else:
            sums.add(int(kept.sum()))
            if planned.method.name not in ("pyramidkv", "adakv"):
                assert (kept.sum(-1) == int(0.75 * everything.n_context)).all(), planned.method.name
    assert sums == {4 * int(0.75 * everything.n_context)}
    assert {p.method.name for p in everything.plan.settings} == set(POLICIES) - {"bypass"}


def test_scores_are_float32_and_protected_tokens_stay(everything):
    for method, score in everything.scores.items():
        assert score.dtype == torch.float32, method.name
    for planned in everything.plan.settings:
        kept = everything.kept_by(planned)
        least = planned.method.protected(everything.n_context)
        if planned.method.name in ("streaming", "streaming-moved", "sirllm", "sirllm-released", "expected"):
            assert least == 4 and kept[..., :4].all()
        elif least:
            assert kept[..., -least:].all(), planned.method.name


def test_no_score_depends_on_what_follows(llama, everything):
    other = read_with_all(llama, " Quite another end, and much longer than the first one was!")
    for method, score in everything.scores.items():
        assert torch.equal(score, other.scores[method]), method.name


@pytest.mark.parametrize("name", ["streaming-moved", "snapkv", "tokenselect", "bypass"])
def test_no_prediction_depends_on_what_follows_it(load_tiny, name):
    model = load_tiny("gemma2" if name == "bypass" else "llama")  # four layers
    long = sweep_eviction(model, TEXT, AFTER, [name], [0.75])
    # The schedule of a bypass knows how long the continuation is, not what it says.
    other = AFTER[:-1] + "!" if name == "bypass" else AFTER[:20]
    short = sweep_eviction(model, TEXT, other, [name], [0.75])
    n = len(short.continuation_tokens) - 1
    assert name != "bypass" or n == len(long.continuation_tokens) - 1
    near = budget.WIDE * budget.rounding_in(model, TEXT + AFTER)
    np.testing.assert_allclose(long.surprisal[:, :n], short.surprisal[:, :n], atol=near, rtol=0)


def test_sirllm_scores_by_surprisal(llama, everything):
    with torch.inference_mode():
        logits = llama.model(everything.prefix.ids[None], use_cache=False).logits[0].double()
    ids = everything.prefix.ids
    log_p = logits.log_softmax(-1)
    n = len(ids)
    meant = -log_p[torch.arange(n - 1), ids[1:]]
    score = everything.scores[policy("sirllm")]
    torch.testing.assert_close(score[1, 1, 1:], meant.float(), rtol=1e-4, atol=1e-4)
    assert (score == score[:1, :1]).all() and score[0, 0, 0] == score[0, 0, 1:].max()
    repeated = -log_p[torch.arange(n), ids]
    released = everything.scores[policy("sirllm-released")][0, 0]
    torch.testing.assert_close(released[1:], repeated[:-1].float(), rtol=1e-4, atol=1e-4)
    assert abs(float(released[0]) - float(repeated.max())) < 1e-3
    kept = everything.kept_by(Planned(policy("sirllm"), 0.75))[0, 0]
    budget = int(0.75 * n)
    expected = set(range(4)) | set(score[0, 0].argsort(descending=True)[: budget - 4].tolist())
    newest = [i for i in range(n - 1, -1, -1) if i not in expected]
    expected |= set(newest[: budget - len(expected)])
    assert set(kept.nonzero()[:, 0].tolist()) == expected


def test_tokenselect_votes_with_the_right_heads(llama, everything):
    method, prefix = TokenSelect(), everything.prefix
    draw = torch.Generator().manual_seed(3)
    n_heads, n_groups = 4, 2
    query = torch.randn(n_heads, 3, prefix.keys[0].shape[-1], generator=draw)
    positions = torch.arange(prefix.n_tokens, prefix.n_tokens + 3)
    budget = 42
    chosen = method.vote(prefix, 1, query, positions, budget)
    assert (chosen.sum(-1) == budget).all()
    assert chosen[:, :2].all() and chosen[:, -8:].all()  # 1/21 and 4/21 of 42
    rotation = prefix.rotations[1]
    key = rotation.turn(prefix.keys[1], back=True).double()
    turned = rotation.move(query, positions, torch.full((3,), 512)).double()
    for row in range(3):
        votes = torch.zeros(prefix.n_tokens - 10, dtype=torch.float64)
        for head in range(n_heads):
            votes += (key[head // (n_heads // n_groups), 2:-8] @ turned[head, row]).softmax(0)
        best = set((votes.topk(budget - 10).indices + 2).tolist())
        assert set(chosen[row, 2:-8].nonzero()[:, 0].add(2).tolist()) == best


def test_a_moved_query_is_the_query_of_the_other_position(llama):
    """Undoing the turn gives what the layer computed before it, and the new turn is the library's."""
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    ids = torch.arange(5, 45)
    seen: list[tuple[torch.Tensor, Rotation | None]] = []
    raw = {}
    attention = llama.anatomy.layers[0].self_attn
    handle = attention.k_proj.register_forward_hook(lambda _m, _a, out: raw.update(key=out[0]))
    try:
        with llama.lock, torch.inference_mode():
            prefix = read_prefix(
                llama,
                ids,
                lambda r: seen.append((r.key, r.rotation)),
                layout=cache_facts(llama).layout,
            )
    finally:
        handle.remove()
    before = raw["key"].view(40, 2, -1).transpose(0, 1)
    rotation = prefix.rotations[0]
    torch.testing.assert_close(rotation.turn(prefix.keys[0], back=True), before, atol=1e-5, rtol=1e-4)
    there = torch.arange(40) * 3 + 7
    cos, sin = llama.model.model.rotary_emb(before, there[None])
    expected = apply_rotary_pos_emb(before[None], before[None], cos, sin)[1][0]
    moved = rotation.move(prefix.keys[0], torch.arange(40), there)
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-4)


# Layers that are passed by ----------------------------------------------------------------------------


def test_the_schedule_falls_and_has_the_mean_asked_for():
    method = Bypass()
    for n_layers, kept in [(30, 0.9), (30, 0.5), (30, 0.3), (30, 0.1), (4, 0.5)]:
        runs = method.schedule(n_layers, kept, 64)
        assert (np.diff(runs) <= 0).all() and runs.min() >= 2 and runs.max() <= n_layers
        assert abs(runs.mean() - kept * n_layers) < 0.2
    assert method.refuses(100, 0.05, 30) and not method.refuses(100, 0.1, 30)


def test_a_bypassed_layer_is_really_not_run(load_tiny):
    """Against the library with the layer taken out of the model once the context is read."""
    from transformers import DynamicCache

    from analysis.kv_cache.continuation import run_continuation
    from analysis.kv_cache.eviction_attention import Special

    model = load_tiny("gemma2")
    ids = torch.arange(10, 40)
    context, after = ids[:20], ids[20:]
    active = torch.ones(4, 10, dtype=torch.bool)
    active[1] = False
    with model.lock, torch.inference_mode():
        prefix = read_prefix(model, context, lambda _view: None)
        keep = torch.ones(2, 4, prefix.keys[0].shape[0], 20, dtype=torch.bool)
        states = run_continuation(model, prefix, after, keep, special={1: Special(active=active)})
        ours = model.anatomy.head.logits(states[1])
        cache, whole = DynamicCache(), model.model.model.layers
        model.model(context[None], past_key_values=cache)
        try:
            model.model.model.layers = nn.ModuleList([whole[i] for i in (0, 2, 3)])
            model.model.config.num_hidden_layers = 3
            theirs = model.model(after[None], past_key_values=cache).logits[0]
        finally:
            model.model.model.layers = whole
            model.model.config.num_hidden_layers = 4
        full = model.model(ids[None], use_cache=False).logits[0, 20:]
    torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(model.anatomy.head.logits(states[0]), full, atol=2e-4, rtol=1e-4)
    assert (ours - full).abs().max() > 0.1


# What a model cannot run ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "family", "word"),
    [
        ("streaming-moved", "gpt2", "no rotary"),
        ("streaming-moved", "mistral", "window"),
        ("keyformer", "gemma2", "caps"),
    ],
)
def test_what_a_family_cannot_run_says_why(load_tiny, name, family, word):
    assert word in policy(name).unsupported(load_tiny(family))
    sweep = sweep_eviction(load_tiny(family), TEXT, AFTER, [name, "window"], [0.5])
    assert [s.policy for s in sweep.settings] == ["full", "window"]
    assert word in sweep.skipped[policy(name).label]


def test_file_class_and_name_of_a_method_are_one_name():
    for name, kind in POLICIES.items():
        plain = name.replace("-", "")
        assert kind.__name__.lower() == plain, f"{kind.__name__} is called {name!r}"
        assert kind.__module__.rpartition(".")[2].replace("_", "") == plain, kind.__module__


def test_a_constant_that_a_person_may_set_is_declared_with_its_control():
    declared = {name: [one.key for one in policy(name).controls] for name in POLICIES}
    assert {name for name, keys in declared.items() if "forgetting" in keys} == {"a2sf"}
    assert {name for name, keys in declared.items() if "rounds" in keys} == {"sirllm", "sirllm-released"}
    asked = {"voters": 40, "forgetting": 0.5, "rounds": "USER:", "decay": 0.7}
    for name in POLICIES:
        method, published = policy(name).with_constants(asked), policy(name)
        changed = {f for f in vars(published) if getattr(method, f) != getattr(published, f)}
        assert changed <= {one.field for one in published.controls}
        assert hasattr(published, "window") == ("voters" in declared[name])
        assert policy(name).with_constants({}) == published
    assert policy("snapkv").with_constants(asked).window == 40  # of 64
    assert policy("ems-like").with_constants(asked).window == 32  # as published: the smaller one counts
    assert policy("a2sf").with_constants(asked).factor == 0.5
    fading = policy("sirllm-released").with_constants(asked)
    assert (fading.round_mark, fading.decay) == ("USER:", 0.7)


def test_no_key_of_a_control_means_two_things():
    controls = controls_of([policy(name) for name in POLICIES])
    own = [key for one in controls for key in (one.key, getattr(one, "words_key", None)) if key]
    taken = {value for name, value in vars(state).items() if name.isupper() and isinstance(value, str)}
    assert len(own) == len(set(own)) == 5 and not taken & set(own)


@pytest.mark.parametrize(("n", "window"), [(20, 8), (159, 8), (160, 16), (639, 32), (640, 64), (9000, 64)])
def test_the_usual_window_is_a_tenth_of_the_context(n, window):
    assert OBSERVATION.automatic(n) == window


def test_every_method_names_itself_and_its_source():
    names, labels = {kind.name for kind in POLICIES.values()}, {kind.label for kind in POLICIES.values()}
    assert len(names) == len(labels) == len(POLICIES)
    for kind in POLICIES.values():
        assert len(kind.source) > 15 and kind() == kind() and hash(kind()) == hash(kind())
