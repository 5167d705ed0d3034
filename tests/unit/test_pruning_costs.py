"""Bill, needle grid, knock-out horizon and rank stability against independent computations."""

import numpy as np
import pytest
import torch

import analysis as an
from analysis.errors import AnalysisError
from analysis.pruning_effects.eviction.budgets import kept_count
from analysis.pruning_effects.eviction.costs import bill, measured_flops, shape_of
from analysis.pruning_effects.eviction.knock_out import knock_out_horizon
from analysis.pruning_effects.eviction.needle import needle_grid, needle_text
from analysis.pruning_effects.eviction.policies.knock_out import KnockOut
from analysis.pruning_effects.eviction.stability import kendall_tau, noisy_embeddings, rank_stability
from tests.tiny_models.families import FAMILIES

CONTEXT = "The cat sat on the mat and looked at the moon over the old town. It was late. " * 2
QUESTION, ANSWER = "Where did the cat sit? It sat on", " the mat"


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in ("mixtral", "gpt_oss")])
def test_the_formula_equals_what_torch_counts(load_tiny, family):
    model = load_tiny(family)
    for n in (16, 40):
        assert measured_flops(model, n) == shape_of(model).flops(n, n)


def test_counting_leaves_the_attention_as_it_was(llama):
    before = llama.model.config._attn_implementation
    measured_flops(llama, 8)
    assert llama.model.config._attn_implementation == before


def test_bytes_are_those_of_a_real_cache(load_tiny):
    model = load_tiny("llama")
    ids = torch.arange(1, 21)[None]
    with torch.inference_mode():
        cache = model.model(input_ids=ids, use_cache=True).past_key_values
    held = sum(t.numel() * t.element_size() for layer in cache.layers for t in (layer.keys, layer.values))
    assert shape_of(model).bytes_per_token * 20 == held


def test_weights_and_cache_meet_where_they_say(llama):
    shape = shape_of(llama)
    n = shape.tokens_as_heavy_as_weights
    assert n * shape.bytes_per_token == pytest.approx(shape.weight_bytes)


def test_the_bill_counts_kept_tokens(llama):
    sweep = an.sweep_eviction(llama, CONTEXT, QUESTION, ["streaming", "random"], [0.5], seeds=2)
    shape = shape_of(llama)
    frame = bill(shape, sweep)
    assert list(frame["batch"].unique()) == [1, 16]
    n, kept = sweep.spec.n_context, int(sweep.spec.n_context * 0.5)
    alone = frame[frame["batch"] == 1].set_index(["policy", "seed"])
    assert alone.loc[("full", 0), "kv_bytes"] == n * shape.bytes_per_token
    assert alone.loc[("streaming", 0), "kv_bytes"] == kept * shape.bytes_per_token
    assert alone.loc[("streaming", 0), "kv_bytes_physical"] == kept * shape.bytes_per_token
    assert alone.loc[("streaming", 0), "decode_flops"] == shape.flops(1, kept + 1)


def test_a_cache_evicted_step_by_step_keeps_its_size(llama):
    from analysis.pruning_effects.eviction.decoding import STEPWISE, sweep_decoding

    context = "The cat sat on the mat, and the dog ran to the river in the morning. " * 2
    sweep = sweep_decoding(
        llama, context, " They went home again and slept until noon.", STEPWISE, [0.5, 0.3], seeds=1
    )
    shape = shape_of(llama)
    frame = bill(shape, sweep, batches=(1,))
    pairs, n = shape.n_layers * shape.n_kv_heads, sweep.spec.n_context
    one = 2 * shape.element_bytes * shape.head_size
    for index, setting in enumerate(sweep.settings):
        entries = n if setting.policy == "full" else kept_count(n, setting.kept)
        assert setting.budget == entries * pairs
        row = frame.iloc[index]
        assert row["kv_bytes"] == row["kv_bytes_physical"] == one * pairs * entries
        assert row["kv_share"] == entries / n
        if setting.policy in ("h2o", "window"):  # fewer of them are of the context by then
            assert sweep.kept(index).sum() < setting.budget


def test_physical_bytes_are_those_of_the_longest_head(llama):
    sweep = an.sweep_eviction(llama, CONTEXT, QUESTION, [KnockOut((1, 2, 3), 1)], [1.0])
    shape = shape_of(llama)
    row = bill(shape, sweep, batches=(1,)).iloc[1]
    n, per_layer = sweep.spec.n_context, shape.bytes_per_token / shape.n_layers
    assert row["kv_bytes"] == n * per_layer + (n - 3) * per_layer * (shape.n_layers - 1)


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_the_needle_is_where_it_should_be(llama, depth):
    hay = needle_text(llama, 400, depth, seed=3)
    needle = hay.context[hay.start : hay.end]
    assert needle.startswith("The secret number of") and needle.endswith(hay.answer.strip() + ".")
    assert hay.context.count(needle) == 1
    length = len(llama.tokenizer(hay.context)["input_ids"])
    assert 0.8 * 400 <= length <= 400
    place = hay.start / (len(hay.context) - len(needle))
    assert place == pytest.approx(depth, abs=0.1)


def test_a_haystack_that_cannot_be(llama):
    with pytest.raises(AnalysisError, match="64"):
        needle_text(llama, 10, 0.5)
    with pytest.raises(AnalysisError, match="depth"):
        needle_text(llama, 100, 1.5)


def test_the_grid_has_every_cell(llama):
    seen = []
    grid = needle_grid(llama, (96, 128), (0.0, 1.0), ["streaming", "knorm"], [0.5], on_partial=seen.append)
    assert len(grid.frame) == 4 * 3 and [len(part.frame) for part in seen] == [3, 6, 9, 12]
    full = grid.frame[grid.frame["policy"] == "full"]
    assert (full["needle_kept"] == 1).all()
    late = grid.frame[(grid.frame["policy"] == "streaming") & (grid.frame["depth"] == 1)]
    assert (late["needle_kept"] == 1).all()  # the window holds the last half
    early = grid.frame[(grid.frame["policy"] == "streaming") & (grid.frame["depth"] == 0)]
    assert (early["needle_kept"] < 0.4).all()  # only its first four tokens


def test_hiding_nothing_is_the_full_cache_and_layer_0_is_hiding_everywhere(llama):
    frame = knock_out_horizon(llama, CONTEXT, QUESTION, ANSWER, [4, 5])
    n_layers = llama.info.n_layers
    assert frame["layer"].tolist() == list(range(n_layers + 1))
    assert frame["change"].iloc[-1] == 0 and abs(frame["change"].iloc[0]) > 1e-4

    # The same by the library: hide keys 4 and 5 from everything after the context, in all layers.
    tokenizer = llama.tokenizer
    parts = [tokenizer(CONTEXT)["input_ids"]]
    parts += [tokenizer(t, add_special_tokens=False)["input_ids"] for t in (QUESTION, ANSWER)]
    ids = torch.tensor([[i for part in parts for i in part]])
    n, total = len(parts[0]), ids.shape[1]
    mask = torch.full((total, total), 0.0).masked_fill_(torch.ones(total, total).triu(1).bool(), -1e9)
    mask[n:, 4:6] = -1e9
    with torch.inference_mode():
        logp = llama.model(input_ids=ids, attention_mask=mask[None, None]).logits[0].double().log_softmax(-1)
    start = total - len(parts[2])
    expected = float(logp[start - 1 : total - 1].gather(1, ids[0, start:, None]).sum())
    assert frame["answer_logp"].iloc[0] == pytest.approx(expected, abs=1e-4)


def test_a_knock_out_of_nothing(llama):
    with pytest.raises(AnalysisError, match="No tokens"):
        knock_out_horizon(llama, CONTEXT, QUESTION, ANSWER, [])
    with pytest.raises(AnalysisError, match="answer"):
        knock_out_horizon(llama, CONTEXT, QUESTION, "", [1])


@pytest.mark.parametrize("tokens", [[10_000], [-1], range(1000)])
def test_a_knock_out_of_tokens_that_are_not_there(llama, tokens):
    with pytest.raises(AnalysisError):
        knock_out_horizon(llama, CONTEXT, QUESTION, ANSWER, list(tokens))


def test_tau_against_counting_pairs():
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 8, 30).astype(float), draw.integers(0, 8, 30).astype(float)
    agree = tied_x = tied_y = 0
    pairs = [(i, j) for i in range(30) for j in range(i)]
    for i, j in pairs:
        agree += np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        tied_x += x[i] == x[j]
        tied_y += y[i] == y[j]
    expected = agree / np.sqrt((len(pairs) - tied_x) * (len(pairs) - tied_y))
    assert kendall_tau(x[None], y[None])[0] == pytest.approx(expected)
    assert kendall_tau(x[None], x[None])[0] == 1 and kendall_tau(x[None], -x[None])[0] == -1
    assert np.isnan(kendall_tau(np.ones((1, 5)), np.arange(5.0)[None])[0])


def test_noise_has_the_length_that_was_asked_for(llama):
    ids = torch.arange(1, 9)[None]
    embed = llama.model.get_input_embeddings()
    clean = embed(ids)
    with noisy_embeddings(llama, 0.05, 1):
        noisy = embed(ids)
    ratio = (noisy - clean).norm(dim=-1) / clean.norm(dim=-1)
    assert torch.allclose(ratio, torch.full_like(ratio, 0.05), rtol=1e-4)
    assert torch.equal(embed(ids), clean)


def test_positions_do_not_feel_noise_and_scores_do(llama):
    frame = rank_stability(
        llama, CONTEXT, QUESTION, ["streaming", "knorm", "expected"], 0.5, noises=(0.001, 0.5), seeds=1
    )
    of = frame.set_index(["policy", "noise"])
    assert (of.loc["streaming", "tau"] == 1).all() and (of.loc["streaming", "preserved"] == 1).all()
    for method in ("knorm", "expected"):
        assert of.loc[(method, 0.001), "tau"] > 0.95 > of.loc[(method, 0.5), "tau"]
    assert abs(of.loc[("knorm", 0.5), "damage_full"]) > abs(of.loc[("knorm", 0.001), "damage_full"])


def test_no_method_left(llama):
    with pytest.raises(AnalysisError, match="None of the methods"):
        rank_stability(llama, CONTEXT, QUESTION, ["snapkv"], 0.1)
