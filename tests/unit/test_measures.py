"""Measures on tokens and units: closed forms and plain loops."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from analysis.results import token_quantities as quantities
from analysis.results.tokens import TokenTrace
from analysis.token_entropy import measures as m
from analysis.units import UNITS, from_nats, unit_label

NAN = float("nan")


def token_trace(surprisal, entropy, *, text=None, n_bytes=None, rank=None, top=(5,)):
    """A trace of made-up numbers; NaN surprisal is a token without context."""
    n = len(surprisal)
    surprisal, entropy = np.array(surprisal, np.float32), np.array(entropy, np.float32)
    known = ~np.isnan(surprisal)
    text = tuple(text or [chr(97 + i % 26) for i in range(n)])
    return TokenTrace(
        token_id=np.arange(n, dtype=np.int64),
        text=text,
        start=np.arange(n, dtype=np.int32),
        end=np.arange(1, n + 1, dtype=np.int32),
        n_bytes=np.array(n_bytes if n_bytes is not None else [1] * n, np.int32),
        is_special=np.zeros(n, bool),
        cell=np.arange(n, dtype=np.int32),
        cell_text=text,
        context=np.arange(n, dtype=np.int32),
        surprisal=surprisal,
        entropy=entropy,
        varentropy=np.where(known, 2.0, np.nan).astype(np.float32),
        max_prob=np.where(known, 0.5, np.nan).astype(np.float32),
        rank=np.array(rank if rank is not None else known.astype(int), np.int32),
        top_ids=np.where(known[:, None], np.array([top]), -1).astype(np.int64),
        top_logprobs=np.where(known[:, None], -0.7, np.nan).astype(np.float32),
        names={**{i: t for i, t in enumerate(text)}, **{i: f"n{i}" for i in top}},
    )


# Units ------------------------------------------------------------------------------------------------


def test_units():
    assert from_nats(math.log(2), "bits") == pytest.approx(1.0, abs=1e-15)
    assert from_nats(math.log(2) ** 2, "bits", power=2) == pytest.approx(1.0, abs=1e-15)
    assert from_nats(0.947537, "bits") == pytest.approx(1.367007, abs=1e-6)
    assert from_nats(math.log(49152), "bits") == pytest.approx(15.58, abs=5e-3)
    for unit in UNITS:
        assert from_nats(0.3, unit, power=0) == 0.3
    values = np.array([NAN, 0.0, 1.0])
    assert from_nats(values, "nats") is values
    np.testing.assert_allclose(from_nats(values, "bits"), [NAN, 0, 1 / math.log(2)])
    assert [unit_label(u, power=p) for u in UNITS for p in (0, 1, 2)] == [
        "",
        "nats",
        "nats²",
        "",
        "bits",
        "bits²",
    ]
    for wrong in ("Bits", "", "ban", None):
        with pytest.raises(ValueError, match="unit"):
            from_nats(1.0, wrong)


# Summary ----------------------------------------------------------------------------------------------


def test_summary_by_hand():
    s = m.summary(token_trace([NAN, math.log(2), math.log(8)], [NAN, 1.0, 2.0], n_bytes=[100, 1, 3]))
    assert (s.n_tokens, s.n_predicted) == (3, 2)
    assert s.mean_surprisal == pytest.approx(2 * math.log(2), rel=1e-6)
    assert s.perplexity == pytest.approx(4.0, rel=1e-6)  # the geometric mean of 2 and 8, not 5
    assert s.bits_per_byte == pytest.approx(
        1.0, rel=1e-6
    )  # 4 bits over 4 bytes; the first token's 100 are out
    assert s.mean_entropy == pytest.approx(1.5)
    assert s.excess == pytest.approx(2 * math.log(2) - 1.5, abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_summary_identities(seed):
    rng = np.random.default_rng(seed)
    surprisal, entropy = rng.exponential(2, 200), rng.random(200) * 5
    surprisal[0] = entropy[0] = NAN
    tokens = token_trace(surprisal, entropy, n_bytes=rng.integers(1, 6, 200))
    s = m.summary(tokens)
    assert math.log(s.perplexity) == pytest.approx(s.mean_surprisal, rel=1e-12)
    assert s.excess == pytest.approx(math.log(s.perplexity) - s.mean_entropy, rel=1e-9)
    n_bytes = int(tokens.n_bytes[1:].sum())
    assert s.bits_per_byte * n_bytes * math.log(2) == pytest.approx(s.mean_surprisal * 199, rel=1e-9)
    np.testing.assert_array_equal(tokens.gap, tokens.surprisal - tokens.entropy)
    assert float(np.nanmean(tokens.gap)) == pytest.approx(s.excess, abs=1e-5)


def test_summary_without_bytes_and_in_long_texts():
    assert math.isnan(m.summary(token_trace([NAN, 1.0], [NAN, 1.0], n_bytes=[1, 0])).bits_per_byte)
    # float32 sums of a million values drift in the third digit; float64 ones do not
    n = 1_000_000
    tokens = token_trace([0.1] * 3, [0.1] * 3)
    from dataclasses import replace

    tokens = replace(
        tokens,
        surprisal=np.full(n, 0.1, np.float32),
        entropy=np.full(n, 0.1, np.float32),
        rank=np.ones(n, np.int32),
        n_bytes=np.ones(n, np.int32),
        token_id=np.zeros(n, np.int64),
    )
    assert m.summary(tokens).mean_surprisal == pytest.approx(float(np.float32(0.1)), rel=1e-12)


# GLTR -------------------------------------------------------------------------------------------------


def test_gltr_boundaries():
    ranks = np.array([0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 10**6])
    expected = [NAN, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    np.testing.assert_array_equal(quantities.gltr_bucket(ranks), np.array(expected, np.float32))
    assert quantities.gltr_bucket(ranks).dtype == np.float32
    assert len(quantities.GLTR_NAMES) == len(quantities.GLTR_LIMITS) + 1


# Forking tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["0.1", "0.2", "0.7", "0.8", "0.9", "0.07", "0.14", "0.28", "0.55", "1"])
def test_forking_marks_exactly_the_share(share):
    """0.07 * 100 is 7.000000000000001 in floats, whose ceiling would be 8."""
    rng = np.random.default_rng(0)
    for n in range(1, 300):
        entropy = rng.random(n)
        marked = m.forking_tokens(entropy, float(share))
        assert marked.sum() == math.ceil(Fraction(share) * n), n
        if 0 < marked.sum() < n:
            assert entropy[marked].min() > entropy[~marked].max()


def test_forking_leaves_out_what_has_no_context():
    entropy = np.array([NAN, 1, 5, 2, NAN, 4, 3, 0, 0, 0, 0, 0])
    assert np.flatnonzero(m.forking_tokens(entropy)).tolist() == [2, 5]  # a fifth of 10, not of 12
    assert not m.forking_tokens(np.array([NAN, NAN])).any()
    assert not m.forking_tokens(np.array([])).any()
    assert m.forking_tokens(entropy, 1.0).sum() == 10


def test_forking_of_equal_values_takes_the_earlier():
    assert np.flatnonzero(m.forking_tokens(np.array([1.0, 2, 2, 2, 2, 1]), 0.5)).tolist() == [1, 2, 3]


@pytest.mark.parametrize("share", [0, -0.1, 1.01, NAN])
def test_forking_share_out_of_range(share):
    with pytest.raises(ValueError, match="share"):
        m.forking_tokens(np.ones(5), share)


# Windows ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 4, 7, 30, 31])
def test_window_mean_is_a_plain_loop(width):
    values = np.random.default_rng(width).random(30)
    values[[0, 11]] = NAN
    expected = np.full(30, NAN)
    for t in range(30 - width + 1):
        part = [float(v) for v in values[t : t + width]]
        expected[t] = sum(part) / width
    np.testing.assert_allclose(m.window_mean(values, width), expected, rtol=1e-12)


def test_window_mean_refuses_no_width_and_takes_no_values():
    with pytest.raises(ValueError, match="width"):
        m.window_mean(np.ones(3), 0)
    assert m.window_mean(np.array([]), 3).shape == (0,)


def test_high_entropy_windows_by_hand():
    entropy = np.array([NAN, 0, 0, 0, 4, 4, 0, 0, 0, 0])
    inside, threshold = m.high_entropy_windows(entropy, width=2, percentile=95)
    # means from 1: 0 0 2 4 2 0 0 0: the 95th percentile lies 0.65 of the way from 2 to 4
    assert threshold == pytest.approx(2 + 0.65 * 2)
    assert np.flatnonzero(inside).tolist() == [4, 5]
    inside, threshold = m.high_entropy_windows(entropy, width=2, percentile=70)
    assert threshold == pytest.approx(1.8)
    assert np.flatnonzero(inside).tolist() == [3, 4, 5, 6]
    everything, lowest = m.high_entropy_windows(entropy, width=2, percentile=0)
    assert lowest == 0 and np.flatnonzero(everything).tolist() == list(range(1, 10))


def test_high_entropy_windows_of_a_short_text():
    inside, threshold = m.high_entropy_windows(np.array([NAN, 1, 2, 3]), width=4)
    assert not inside.any() and math.isnan(threshold) and inside.shape == (4,)
    inside, threshold = m.high_entropy_windows(np.array([NAN, 1, 2, 3]), width=3)
    assert inside.tolist() == [False, True, True, True] and threshold == pytest.approx(2)
    assert not m.high_entropy_windows(np.array([]), width=4)[0].any()


# The moving threshold ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "factor", "floor"), [(25, 4.0, 1.8), (3, 1.0, 0.0), (1, 2.0, 0.5)])
def test_moving_threshold_is_a_plain_loop(window, factor, floor):
    values = np.random.default_rng(1).exponential(1.0, 90)
    values[:40] *= 0.05  # quiet enough that both lower limits are used
    values[0] = NAN
    expected = []
    for t in range(90):
        last = [float(v) for v in values[max(0, t - window) : t]]
        if t < window or any(math.isnan(v) for v in last):
            expected.append(NAN)
            continue
        mean = sum(last) / window
        std = math.sqrt(sum((v - mean) ** 2 for v in last) / window)
        expected.append(max(mean + factor * max(std, 0.5), floor))
    got = m.moving_threshold(values, window, factor, floor)
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    assert np.isnan(got[: window + 1]).all() and np.isfinite(got[window + 1 :]).all()


def test_triggers_are_above_the_threshold_and_never_unknown():
    entropy = np.array([NAN, 2.0, 3.0, 3.0, 9.0], np.float32)
    assert m.triggers(entropy, np.array([1.0, 1.0, 3.0, 2.9, NAN])).tolist() == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_jump_out_of_a_quiet_text_is_a_trigger():
    """As SRGen sets it: 25 tokens at .2 nats, so the threshold is .2 + 4 * .5 = 2.2 nats."""
    entropy = np.full(60, 0.2)
    entropy[[24, 40, 41, 45, 59]] = [9.0, 2.3, 2.1, 2.25, 2.3]
    threshold = m.moving_threshold(entropy)
    assert threshold[40] > 2.2, "the nine nats of token 24 still count"
    entropy[24] = 0.2
    threshold = m.moving_threshold(entropy)
    assert threshold[40] == pytest.approx(2.2) and threshold[41] == pytest.approx(0.2 + 2.1 / 25 + 2)
    assert np.flatnonzero(m.triggers(entropy, threshold)).tolist() == [40]


def test_the_sample_deviation_of_srgens_code_is_2_percent_larger():
    """What the page says of the difference: sqrt(25 / 24) for the window of its scripts."""
    values = np.random.default_rng(4).exponential(2.0, 60)
    last = values[20:45]
    factor = (m.moving_threshold(values)[45] - last.mean()) / last.std(ddof=1)
    assert factor == pytest.approx(4 * math.sqrt(24 / 25)) and 4 / factor == pytest.approx(1.02, abs=0.001)


def test_windows_are_everywhere_and_not_only_after_words():
    """ARES would look after listed words alone; a stretch in the middle of nowhere counts here."""
    entropy = np.zeros(200)
    entropy[90:94] = 3.0
    inside, threshold = m.high_entropy_windows(entropy, 4, 99.5)
    assert set(np.flatnonzero(inside).tolist()) >= {90, 91, 92, 93} and 0 < threshold <= 3
    after, _ = m.high_entropy_windows(entropy, 4, 100)
    assert np.flatnonzero(after).tolist() == [90, 91, 92, 93], (
        "the window begins at its first token, not behind it"
    )


def test_moving_threshold_does_not_look_at_its_own_token():
    values = np.full(60, 0.1)
    values[40] = 9.0
    threshold = m.moving_threshold(values)
    assert threshold[40] == pytest.approx(0.1 + 4 * 0.5) and threshold[41] > threshold[40]
    assert np.isnan(m.moving_threshold(np.ones(25))).all()
    assert np.isfinite(m.moving_threshold(np.ones(26))[-1])


# Classes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entropy", "varentropy", "name"),
    [
        *((0.1, 0.5, "sure"), (0.3, 0.5, "between"), (0.1, 1.2, "between"), (0.299, 1.199, "sure")),
        *((2.6, 0.5, "spread"), (2.5, 0.5, "between"), (2.6, 1.2, "between")),
        *((0.1, 2.6, "torn"), (1.2, 2.6, "torn"), (1.1, 2.6, "torn"), (0.1, 2.5, "between")),
        *((1.21, 2.6, "lost"), (5.0, 9.0, "lost"), (5.0, 2.5, "between"), (2.5, 3.0, "lost")),
        *((1.0, 1.0, "between"), (NAN, NAN, ""), (0.0, 0.0, "sure")),
    ],
)
def test_quadrants(entropy, varentropy, name):
    assert m.quadrants(np.array([entropy]), np.array([varentropy]))[0] == name


def test_every_quadrant_is_a_named_one():
    grid = np.meshgrid(np.linspace(0, 6, 61), np.linspace(0, 6, 61))
    found = set(m.quadrants(grid[0].ravel(), grid[1].ravel()).tolist())
    assert found == {"sure", "spread", "torn", "lost", "between"}


# Percentile and words ---------------------------------------------------------------------------------


def test_percentile_of():
    values = np.array([NAN, 1.0, 2.0, 2.0, 3.0, NAN])
    assert m.percentile_of(values, 1) == 0
    assert m.percentile_of(values, 4) == 100
    assert m.percentile_of(values, 2) == pytest.approx(100 * (1 / 3 + 1 / 6))  # one below, one equal of three
    assert math.isnan(m.percentile_of(values, 0))
    assert math.isnan(m.percentile_of(np.array([NAN, 1.0]), 1))
    assert m.percentile_of(np.array([5.0, 5.0, 5.0]), 1) == 50


def test_percentile_of_is_the_rank_without_ties():
    values = np.random.default_rng(3).permutation(101).astype(float)
    for i in (0, 50, 100):
        assert m.percentile_of(values, i) == pytest.approx(values[i])


def test_by_token():
    tokens = token_trace(
        [NAN, 1, 2, 3, 6, 5], [NAN, 4, 2, 8, 2, 6.0], text=["the", "the", " a", "the", " a", "\ud800"]
    )
    table = m.by_token(tokens)
    assert list(table.columns) == ["token", "count", "mean_entropy", "mean_surprisal"]
    assert table.to_dict("list") == {
        "token": ["the", "?", " a"],  # equal entropies: the more frequent first
        "count": [2, 1, 2],
        "mean_entropy": [6.0, 6.0, 2.0],
        "mean_surprisal": [2.0, 5.0, 4.0],
    }
    assert len(m.by_token(token_trace([NAN], [NAN]))) == 0


# The table --------------------------------------------------------------------------------------------


def test_the_table_names_its_units():
    tokens = token_trace([NAN, math.log(2), 1.0], [NAN, 1.0, 2.0], text=["a", "\ud83d", "c"])
    nats, bits = tokens.to_frame(), tokens.to_frame("bits")
    assert "surprisal_nats" in nats and "surprisal_nats" not in bits
    assert bits["surprisal_bits"][1] == pytest.approx(1.0, rel=1e-6)
    assert bits["varentropy_bits2"][1] == pytest.approx(2 / math.log(2) ** 2, rel=1e-6)
    assert bits["gap_bits"][2] == pytest.approx((1.0 - 2.0) / math.log(2), rel=1e-6)
    assert list(nats["token"]) == ["a", "?", "c"] and list(nats["first_choice"]) == ["", "n5", "n5"]
    assert list(nats["position"]) == [0, 1, 2] and list(nats["rank"]) == [0, 1, 1]
    with pytest.raises(ValueError, match="unit"):
        tokens.to_frame("bans")
