"""The numbers that stand above and beside the pictures, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.attention_sinks import summary as sinks
from analysis.attention_sinks.experiments import largest_state
from analysis.attention_sinks.maps import HeadMap
from analysis.attention_sinks.massive import Extremes, output_drain_range
from analysis.attention_sinks.measures import triad
from analysis.pruning_effects.eviction import summary as sweeps
from analysis.pruning_effects.eviction.estimate import context_tokens, sweep_seconds
from analysis.results.alternatives import alternatives, equally_likely
from analysis.results.attention import AttentionTrace
from analysis.token_entropy.triggers import trigger_positions
from tests.figures import synthetic
from tests.figures.synthetic_sweep import CONTEXT, EVEN, FIRST_HALF, G, L, N, sweep

T = 20


def attention(received=None, layers=(0, 3)):
    """Two layers with attention out of five, of two heads over T tokens; layer 0 head 1 leans on token 0."""
    if received is None:
        received = np.full((2, 2, T), 0.1, np.float32)
        received[:, :, 0] = [[0.2, 0.6], [0.4, 0.4]]
        received[1, 0, 5] = 0.9
    return AttentionTrace(
        entropy=np.ones_like(received),
        received=received,
        sink_mass=received[:, :, 0],
        sink_baseline=np.array([0.1, 0.2], np.float32),
        distance=np.ones((2, 2), np.float32),
        value_norm=np.ones((2, 1, T), np.float32),
        key_norm=np.ones((2, 1, T), np.float32),
        window=np.zeros(2, np.int32),
        layer_numbers=np.array(layers, np.int32),
    )


# Attention sinks --------------------------------------------------------------------------------------


def test_a_run_in_five_numbers():
    found = sinks.sink_numbers(attention(), epsilon=0.4)
    assert found.on_first == pytest.approx(0.4) and found.uniform == pytest.approx(0.15)
    assert found.times_uniform == pytest.approx((2 + 6 + 2 + 2) / 4)  # not 0.4 / 0.15
    assert found.rate == 0.25  # 0.6 alone is above 0.4
    assert found.strongest == 5
    short = sinks.sink_numbers(attention(np.full((2, 2, 3), 0.5, np.float32)))
    assert short.strongest == -1 and math.isnan(short.rate)


def test_the_head_that_leans_most_is_named_by_its_layer():
    assert sinks.leaning_head(attention()) == (0, 1)
    turned = attention().received[::-1].copy()
    assert sinks.leaning_head(attention(turned)) == (3, 1)


def test_what_one_token_gets():
    gets = sinks.received_by(attention(), 5, n_heads=3)
    assert gets.mean == pytest.approx((0.1 + 0.1 + 0.9 + 0.1) / 4)
    assert gets.rank == 2  # token 0 gets 0.4
    assert gets.n_queries == T - 5
    assert gets.heads[["layer", "head"]].to_numpy().tolist() == [[3, 0], [0, 0], [0, 1]]
    assert gets.heads["gives"].tolist() == pytest.approx([0.9, 0.1, 0.1])
    assert sinks.received_by(attention(), 6).rank == 3  # equals share a rank


@pytest.mark.parametrize(
    ("layer", "head", "at_5"), [(None, None, 0.3), (3, None, 0.5), (3, 0, 0.9), (0, 1, 0.1)]
)
def test_attention_received_of_all_heads_of_a_layer_or_of_one(layer, head, at_5):
    frame = sinks.received_frame(attention(), layer, head)
    assert frame["received"][5] == pytest.approx(at_5) and len(frame) == T
    assert frame["seen_by_queries"].tolist() == list(range(T, 0, -1))
    with pytest.raises(ValueError, match="layer 1"):
        sinks.mean_received(attention(), 1)


def test_the_triad_of_a_token():
    norms = np.ones((5, T), np.float32)
    norms[2, 0], norms[2, 1] = 40, 3
    norms[4, 0], norms[4, 1:] = 60, 2
    value = np.full((2, 1, T), 4.0, np.float32)
    value[1, 0, 0] = 1
    known = replace(attention(), value_norm=value)
    values = triad(known, norms)
    assert values.state_peak == (40.0, 2)  # 60 is 30 times the others
    assert values.smallest_value == 0.25
    frame = sinks.triad_frame(known, norms)
    assert frame["layer"].tolist() == [0, 1, 2, 3, 4]
    assert frame["received_mean"].dropna().tolist() == pytest.approx([0.4, 0.4])
    assert frame["value_over_others"].dropna().to_dict() == {0: 1.0, 3: 0.25}
    assert frame["state_norm_others_largest"][2] == 3 and frame["state_norm_others_median"][2] == 1


def test_a_state_among_nothing_does_not_divide_by_zero():
    values = triad(attention(), np.zeros((5, T), np.float32))
    assert values.state_peak == (0.0, 0)


def test_the_largest_activation_counts_without_its_sign():
    place = np.zeros((2, 3), np.int64)
    value = np.array([[3.0, 2.0, 1.0], [30.0, -4000.0, 1.0]], np.float32)
    norms = np.full((2, 2, 5), 2.0, np.float32)
    norms[:, :, 0] = [[1.0, 3.0], [0.5, 0.5]]
    found = Extremes(place, place, value, np.array([1e-4, 2.0], np.float32), norms)
    assert found.largest == (1, 1, 2000.0)  # not the 30,000 times of layer 0
    assert output_drain_range(found) == (0.25, 1.0)


def test_cells_of_a_map_that_can_be_seen():
    values = np.array([[0.5, np.nan], [0.25, 0.75]], np.float32)
    drawn = HeadMap(values, np.array([0, 2, 4]), np.array([0, 3, 6]), 0, 0, "max", 0.0, 0.0, "")
    assert drawn.largest == 0.75
    assert drawn.to_frame().to_numpy().tolist() == [[0, 0, 0.5], [2, 0, 0.25], [2, 3, 0.75]]


def test_heads_that_switch_most_go_either_way():
    frame = pd.DataFrame({"head": range(4), "difference": [0.1, -0.5, 0.0, 0.3]})
    assert sinks.switching_heads(frame, 3)["head"].tolist() == [1, 3, 0]


def test_the_largest_state_of_a_run():
    run = synthetic.run(10)
    run.layers.residual_norm[3, 7] = 12
    assert largest_state(run) == 12


# Sweeps -----------------------------------------------------------------------------------------------


def test_the_best_method_frees_memory_and_loses_least():
    found = sweep()
    assert sweeps.middle_share(found) == 0.5
    assert sweeps.best_at(found, 0.5) == "snapkv"
    best = sweeps.best_method(found, 0.5)
    assert best.label == "SnapKV"
    assert best.kl == pytest.approx(0.1) and best.delta_nll == pytest.approx(-0.5)
    assert best.chance == pytest.approx(3.0)  # mean over two seeds of 2 and 4
    pairs, width = L * G, 2 * 4 * 4
    assert best.kept_bytes == pairs * (N // 2) * width and best.full_bytes == pairs * N * width
    assert best.tokens_per_pair == N // 2


def test_what_is_not_known_of_the_best_method():
    found = sweep()
    few = replace(
        found,
        spec=replace(found.spec, dtype="int3"),
        settings=tuple(replace(s, policy=s.policy.replace("random", "other")) for s in found.settings),
    )
    best = sweeps.best_method(few, 0.5)
    assert math.isnan(best.chance) and best.kept_bytes == 0


def test_the_share_nearest_to_one_half():
    found = sweep()
    settings = [
        replace(s, kept=k) for s, k in zip(found.settings, [1.0, 0.9, 0.6, 0.4, 0.2, 0.1], strict=True)
    ]
    assert sweeps.middle_share(replace(found, settings=tuple(settings))) == 0.6  # the first of two


def test_tables_of_what_is_kept():
    frame = sweeps.kept_frame(sweep(), 2)
    assert frame["token"].tolist() == list(CONTEXT)
    assert frame["survived"].tolist() == (EVEN * L * G).tolist() and set(frame["pairs"]) == {L * G}
    assert frame["share"].tolist() == EVEN.astype(float).tolist()
    assert frame["future_attention"].tolist() == list(range(N, 0, -1))
    found = sweep()
    numbered = replace(found, spec=replace(found.spec, layer_numbers=(1, 4, 7)))
    pairs = sweeps.pairs_frame(numbered, 1)
    assert len(pairs) == L * G * N // 2 and set(pairs["layer"]) == {1, 4, 7}
    assert pairs["position"].tolist() == np.flatnonzero(FIRST_HALF).tolist() * (L * G)


def test_the_fate_of_a_token():
    assert sweeps.future_attention(sweep(), 2) == (N - 2.0, 3)
    assert sweeps.most_missed(sweep(), 1) == N // 2  # the first that is gone, though token 0 gets most
    assert sweeps.most_missed(sweep(), 2) == 1


def test_equals_share_a_rank_whatever_the_order_of_their_sum():
    rng = np.random.default_rng(0)
    one = rng.random((L, G)).astype(np.float32)
    found = replace(sweep(), future=np.repeat(one[:, :, None], N, 2))
    assert {sweeps.future_attention(found, t)[1] for t in range(N)} == {1}


def test_the_token_of_the_continuation_to_look_at_first():
    assert sweeps.hardest_hit(sweep(), 2) == 3  # KL grows along the continuation
    assert sweeps.hardest_hit(sweep(n_answer=2), 2) == 2


def test_alternatives_and_the_one_that_came():
    frame = sweeps.top_frame(sweep(), 2, 2)
    assert frame["token"].tolist() == ["<i>", " b\n", " a"]
    assert frame["came"].tolist() == [False, True, False]
    assert frame["probability"].tolist() == pytest.approx([0.6, 0.3, 0.1])
    none = alternatives(np.array([4]), np.array([0.0], np.float32), 9, {4: "a"})
    assert none["came"].tolist() == [False] and none["probability"].tolist() == [1.0]


def test_the_estimate_of_a_sweep():
    run = synthetic.run(10)
    run = replace(run, text="x" * 40, seconds={"body": 1.5, "head": 0.5})
    object.__setattr__(run.tokens, "start", np.arange(-1, 36, 4)[:10].astype(np.int32))
    assert context_tokens(run, "x" * 16) == 5  # -1, 3, 7, 11 and 15
    # 0.2 s a token; 8 of 40 characters are 2 of 10 tokens
    assert sweep_seconds(run, "x" * 16, 8, 3) == pytest.approx(0.2 * (5 + 0.6 * 3 * 2))
    assert sweep_seconds(run, "x" * 16, 8, 3, stepwise=True) == pytest.approx(0.2 * (5 + 1.8 * 3 * 2))


# Token entropy ----------------------------------------------------------------------------------------


def test_triggers_as_a_list():
    entropy = np.array([np.nan, 1.0, 1.2, 0.8, 1.0, 9.0, 1.0], np.float32)
    assert trigger_positions(entropy, 4, 2.0) == [5]
    assert trigger_positions(entropy, 5, 2.0) == []
    assert trigger_positions(entropy, 25, 2.0) is None


def test_equally_likely_tokens():
    assert equally_likely(math.log(7)) == pytest.approx(7)
