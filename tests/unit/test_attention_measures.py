"""Measures on attention against closed forms and numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.attention_sinks import measures
from analysis.forward.attention import attend
from analysis.forward.recorder import Recorder
from analysis.forward.visibility import AttentionSpan
from analysis.results.attention import AttentionTrace


def measured(*layers, value=None):
    """The trace of layers given as (query, key, window); keys serve as values too."""
    recorder = Recorder(tuple(range(len(layers))))
    for layer, (query, key, window) in enumerate(layers):
        values, span = key if value is None else value, AttentionSpan(window=window)
        recorder.take(layer, attend(query, key, values, scale=1.0, span=span), key, values, span, False)
    return recorder.result()


def uniform(n, window=None, heads=4, groups=2):
    return torch.zeros(heads, n, 8), torch.ones(groups, n, 8), window


def towards(n, position):
    """Every query from ``position`` on looks at that key alone; earlier ones at themselves."""
    key = torch.eye(n)[None] * 60
    query = torch.eye(n)[None] * 60
    query[:, position:] = 0
    query[:, position:, position] = 60
    return query, key, None


def identity(n):
    return torch.eye(n)[None] * 60, torch.eye(n)[None] * 60, None


# Uniform attention ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 17, 64, 300])
def test_uniform_attention_is_one_time_uniform_at_any_length_and_window(n):
    windows = [None, 2, 5, 16, 64]
    trace = measured(*(uniform(n, w) for w in windows))
    np.testing.assert_allclose(measures.against_baseline(trace), 1, atol=2e-6)
    assert trace.window.tolist() == [w or 0 for w in windows]


def test_the_baseline_by_hand():
    """Rows 1, 2, 3 of four tokens give token 0 1/2, 1/3, 1/4; a window of 2 gives 1/2, 0, 0."""
    trace = measured(uniform(4), uniform(4, 2))
    np.testing.assert_allclose(trace.sink_baseline, [(1 / 2 + 1 / 3 + 1 / 4) / 3, (1 / 2) / 3], rtol=1e-6)
    np.testing.assert_allclose(trace.received[0, 0, 0], (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, rtol=1e-6)


@pytest.mark.parametrize("window", [None, 5, 32])
def test_uniform_rows_have_normalised_entropy_one(window):
    trace = measured(uniform(100, window))
    np.testing.assert_allclose(measures.head_entropy(trace), 1, atol=1e-5)
    assert (measures.head_classes(measures.head_entropy(trace)) == "overloaded").all()


def test_uniform_attention_has_no_strong_sink_where_keys_are_seen_often():
    _, value = measures.strongest_sink(measured(uniform(300)))
    assert (value < 0.05).all()


# Sinks ------------------------------------------------------------------------------------------------


def test_identity_attention_is_no_sink():
    """Each key is looked at once. The last ones are seen by so few that this alone looks like one."""
    n = 40
    trace = measured(identity(n))
    np.testing.assert_allclose(trace.received[0, 0], 1 / (n - np.arange(n)), atol=1e-6)
    position, value = measures.strongest_sink(trace)
    assert position[0, 0] == n - measures.MIN_QUERIES  # the last key that 8 queries see
    assert value[0, 0] == pytest.approx(1 / measures.MIN_QUERIES, abs=1e-6) and value[0, 0] < 0.3
    naive_position, naive = measures.strongest_sink(trace, min_queries=1)
    assert naive_position[0, 0] == n - 1 and naive[0, 0] == pytest.approx(1)
    assert trace.sink_mass[0, 0] == pytest.approx(0, abs=1e-6)
    assert np.nanmax(measures.sink_rate(trace)) == 0


def test_a_sink_at_a_delimiter_is_found():
    trace = measured(towards(60, 5), towards(60, 0))
    position, value = measures.strongest_sink(trace)
    assert position.tolist() == [[5], [0]]
    np.testing.assert_allclose(value, 1, atol=1e-6)
    np.testing.assert_allclose(trace.sink_mass, [[0], [1]], atol=1e-6)


def test_keys_seen_too_rarely_are_left_out_everywhere():
    trace = measured(uniform(7))
    position, value = measures.strongest_sink(trace)
    assert (position == -1).all() and np.isnan(value).all()
    assert np.isnan(measures.sink_rate(trace)).all()
    trace = measured(uniform(50, 4))  # a window of 4: no key is ever seen by 8
    assert (measures.strongest_sink(trace)[0] == -1).all()


def test_queries_that_see_a_key():
    seen = measured(uniform(6), uniform(6, 3)).seen_by()
    assert seen.tolist() == [[6, 5, 4, 3, 2, 1], [3, 3, 3, 3, 2, 1]]


def by_hand(**arrays):
    """A trace of given numbers; what is not given is plain."""
    n_layers, n_heads, n = next(arrays[k].shape for k in ("received", "entropy") if k in arrays)
    plain = {
        "entropy": np.zeros((n_layers, n_heads, n), np.float32),
        "received": np.zeros((n_layers, n_heads, n), np.float32),
        "sink_mass": np.zeros((n_layers, n_heads), np.float32),
        "sink_baseline": np.full(n_layers, 0.1, np.float32),
        "distance": np.zeros((n_layers, n_heads), np.float32),
        "value_norm": np.ones((n_layers, 1, n), np.float32),
        "key_norm": np.ones((n_layers, 1, n), np.float32),
        "window": np.zeros(n_layers, np.int32),
    }
    return AttentionTrace(**plain | arrays)


def test_sink_rate_counts_heads_above_epsilon_and_not_at_it():
    received = np.zeros((2, 2, 20), np.float32)
    received[:, :, 0] = [[0.5, 0.25], [0.75, 0.125]]
    received[0, 0, 3] = 1
    received[:, :, 19] = 1
    trace = by_hand(received=received)
    rate = measures.sink_rate(trace, 0.3)
    assert rate[0] == 0.5 and rate[3] == 0.25 and rate[1] == 0 and np.isnan(rate[13:]).all()
    assert np.isfinite(rate[:13]).all()
    for epsilon, expected in [(0.0, 1.0), (0.125, 0.75), (0.25, 0.5), (0.5, 0.25), (0.75, 0.0)]:
        assert measures.sink_rate(trace, epsilon)[0] == expected


# Entropy of heads -------------------------------------------------------------------------------------


def test_head_entropy_divides_row_by_row():
    """A mean of ratios: dividing the mean entropy by ln T would give another number."""
    entropy = np.zeros((1, 1, 4), np.float32)
    entropy[0, 0] = [9, 0.5 * np.log(2), np.log(3), 0.25 * np.log(4)]
    value = measures.head_entropy(by_hand(entropy=entropy), first_row=1)
    assert value[0, 0] == pytest.approx((0.5 + 1 + 0.25) / 3)
    assert np.isnan(measures.head_entropy(by_hand(entropy=entropy), first_row=4)).all()
    assert np.isnan(measures.head_entropy(measured(uniform(16)))).all()
    assert np.isfinite(measures.head_entropy(measured(uniform(17)))).all()


def test_classes_at_their_thresholds():
    values = np.array([[0.0, 0.0499, 0.05, 0.5, 0.9, 0.9001, 1.0, np.nan]])
    assert measures.head_classes(values).tolist() == [
        ["collapsed", "collapsed", "between", "between", "between", "overloaded", "overloaded", ""]
    ]
    assert measures.head_classes(values, 0.5, 0.6)[0, 3:5].tolist() == ["between", "overloaded"]


def test_entropy_by_position_leaves_windows_out():
    entropy = np.zeros((2, 2, 3), np.float32)
    entropy[0] = [[0, 0.5, 1.0], [0, 0.25, 0.5]]
    entropy[1] = 99
    trace = by_hand(entropy=entropy, window=np.array([0, 2], np.int32))
    frame = measures.entropy_by_position(trace)
    assert frame["position"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(frame["entropy"], [0, 0.375, 0.75])
    np.testing.assert_allclose(frame["uniform"], np.log([1, 2, 3]))
    np.testing.assert_allclose(frame["below_uniform"], np.log([1, 2, 3]) - [0, 0.375, 0.75])
    only_windows = by_hand(entropy=entropy, window=np.array([2, 2], np.int32))
    np.testing.assert_allclose(measures.entropy_by_position(only_windows)["entropy"][1], (0.375 + 99) / 2)


def test_uniform_attention_is_not_below_uniform():
    frame = measures.entropy_by_position(measured(uniform(200)))
    np.testing.assert_allclose(frame["below_uniform"], 0, atol=1e-5)


# The triad --------------------------------------------------------------------------------------------


def test_triad_by_hand():
    received = np.arange(12, dtype=np.float32).reshape(1, 2, 6) / 12
    value_norm = np.array([[[0.5, 1, 2, 3, 4, 10]]], np.float32)
    residual = np.array([[100, 1, 2, 3, 4, 5], [7, 1, 1, 1, 1, 90]], np.float32)
    trace = by_hand(received=received, value_norm=value_norm)
    first = measures.triad(trace, residual)
    np.testing.assert_array_equal(first.sink, received[:, :, 0])
    assert first.value_drain.tolist() == [[pytest.approx(0.5 / 3)]]  # the others' median is 3
    assert first.residual_token.tolist() == [100, 7]
    assert first.residual_median.tolist() == [3, 1] and first.residual_max.tolist() == [5, 90]
    last = measures.triad(trace, residual, 5)
    assert last.position == 5 and last.value_drain.tolist() == [[pytest.approx(10 / 2)]]
    assert last.residual_token.tolist() == [5, 90] and last.residual_max.tolist() == [100, 7]


def test_a_triad_needs_others():
    with pytest.raises(ValueError, match="none"):
        measures.triad(by_hand(received=np.zeros((1, 1, 1), np.float32)), np.ones((2, 1)))


def test_values_of_nothing_do_not_divide_by_zero():
    trace = by_hand(received=np.zeros((1, 1, 3), np.float32), value_norm=np.zeros((1, 1, 3), np.float32))
    assert np.isfinite(measures.triad(trace, np.ones((2, 3))).value_drain).all()


# Tables -----------------------------------------------------------------------------------------------


def test_query_heads_share_kv_heads_in_order():
    trace = by_hand(received=np.zeros((1, 6, 2), np.float32), value_norm=np.ones((1, 3, 2), np.float32))
    assert [trace.kv_head(h) for h in range(6)] == [0, 0, 1, 1, 2, 2]
    assert (trace.n_layers, trace.n_heads) == (1, 6)


def test_the_table_of_heads():
    received = np.zeros((2, 3, 20), np.float32)
    received[1, 2, 4] = 0.9
    sink_mass = np.arange(6, dtype=np.float32).reshape(2, 3) / 10
    trace = by_hand(received=received, sink_mass=sink_mass, window=np.array([0, 12], np.int32))
    frame = measures.heads_frame(trace)
    assert list(frame.columns) == [
        *("layer", "head", "sink_mass", "times_uniform", "strongest_position", "strongest_received"),
        *("entropy_normalised", "class", "mean_distance_tokens", "window_tokens"),
    ]
    assert len(frame) == 6
    assert frame["layer"].tolist() == [0, 0, 0, 1, 1, 1] and frame["head"].tolist() == [0, 1, 2] * 2
    row = frame[(frame["layer"] == 1) & (frame["head"] == 2)].iloc[0]
    assert row["sink_mass"] == pytest.approx(0.5) and row["times_uniform"] == pytest.approx(5)
    assert row["strongest_position"] == 4 and row["strongest_received"] == pytest.approx(0.9)
    assert row["window_tokens"] == 12 and row["class"] == "collapsed"
    with_sink = measures.heads_frame(by_hand(received=received, learned_sink=sink_mass))
    np.testing.assert_allclose(with_sink["learned_sink"], sink_mass.ravel())


def test_the_largest_state_emerges_where_it_outgrows_the_median():
    norms = np.array([[1, 2, 1, 1], [4, 9, 4, 4], [5, 6, 500, 5], [50, 60, 900, 50]], np.float32)
    assert measures.emergence(norms) == (2, 2), "layer 1 grows as a whole, layer 3 no further than the others"
    assert measures.emergence(norms[:2] * 0) == (1, 0)


def test_attention_before_a_token_stands_beside_its_entropy():
    """Row t - 1 predicts token t; a row that sees one token says nothing."""
    n = 20
    entropy = np.zeros((2, 1, n), np.float32)
    entropy[0, 0] = np.arange(n) / 100 * np.log(np.arange(n) + 1)
    entropy[1, 0, :] = 0.1 * np.log(np.minimum(np.arange(n) + 1, 4))
    token_entropy = np.arange(n, dtype=np.float32)
    token_entropy[18] = np.nan
    attention = by_hand(entropy=entropy, window=np.array([0, 4], np.int32))
    frame = measures.entropies_frame(attention, token_entropy)
    assert frame["position"].tolist() == [17, 19]
    np.testing.assert_allclose(frame["attention_entropy"], [(0.16 + 0.1) / 2, (0.18 + 0.1) / 2], rtol=1e-6)
    assert frame["token_entropy"].tolist() == [17, 19]
    alone = by_hand(entropy=entropy, window=np.array([0, 1], np.int32))
    found = measures.entropies_frame(alone, token_entropy)["attention_entropy"]
    np.testing.assert_allclose(found, [0.16, 0.18], rtol=1e-6)
