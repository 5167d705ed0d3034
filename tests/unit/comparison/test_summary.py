"""Summaries: values against plain numpy, intervals that cover, blocks that matter, and the published rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.bootstrap import block_length, interval, resampled
from analysis.comparison.published import published_rows
from analysis.comparison.summary import mean, quantile, summary_of
from analysis.errors import AnalysisError
from tests.comparisons import made_comparison

C = made_comparison(n=60, seed=3)


def known(values):
    return values[C.rows.has_context].astype(float)


def test_values_are_those_of_their_definitions():
    s, rows = summary_of(C), C.rows
    kl, change = known(rows.kl_ab), known(rows.surprisal_b) - known(rows.surprisal_a)
    expected = {
        "mean_kl_ab": kl.mean(),
        "median_kl_ab": np.median(kl),
        "p99_kl_ab": np.quantile(kl, 0.99),
        "max_kl_ab": kl.max(),
        "mean_kl_ba": known(rows.kl_ba).mean(),
        "mean_jsd": known(rows.jsd).mean(),
        "mean_tv": known(rows.tv).mean(),
        "same_first": (known(rows.first_differs) == 0).mean(),
        "rank_flips": (rows.rank_a != rows.rank_b)[rows.has_context].mean(),
        "mean_entropy_change": (known(rows.entropy_b) - known(rows.entropy_a)).mean(),
        "mean_surprisal_change": change.mean(),
        "perplexity_ratio": np.exp(change.mean()),
        "prob_change_p1": np.quantile(known(rows.prob_change), 0.01),
        "prob_change_rms": np.sqrt((known(rows.prob_change) ** 2).mean()),
    }
    for name, value in expected.items():
        assert s[name].value == pytest.approx(value, rel=1e-6, abs=1e-9), name
        assert s[name].n == rows.has_context.sum()
    assert s["mean_kl_ab"].value != pytest.approx(s["mean_kl_ba"].value, rel=1e-3), "the direction counts"


def test_bits_per_byte_are_over_what_both_predicted():
    s, spans = summary_of(C), C.spans
    both = spans.has_context
    for side in "ab":
        surprisal = getattr(spans, f"surprisal_{side}")[both]
        expected = surprisal.sum() / np.log(2) / spans.n_bytes[both].sum()
        assert s[f"bits_per_byte_{side}"].value == pytest.approx(expected)


def test_the_table_is_in_the_unit():
    s = summary_of(C)
    nats, bits = s.to_frame("nats").set_index("name"), s.to_frame("bits").set_index("name")
    for column in ("value", "low", "high"):
        assert bits.loc["mean_jsd", column] == pytest.approx(nats.loc["mean_jsd", column] / np.log(2))
        assert bits.loc["mean_tv", column] == nats.loc["mean_tv", column]
    assert bits.loc["mean_jsd", "unit"] == "bits" and nats.loc["bits_per_byte_a", "unit"] == "bits per byte"


def test_intervals_hold_the_value_and_the_ends_of_a_range_have_none():
    for row in summary_of(C).rows:
        if row.name.startswith("max_"):
            assert np.isnan(row.low) and np.isnan(row.high)
        elif row.name.startswith("mean_"):
            assert row.low <= row.value <= row.high


def test_the_same_numbers_come_again():
    first, second = (summary_of(C).to_frame() for _ in range(2))
    assert first.equals(second)


def test_resampled_texts_are_made_of_neighbours():
    places = resampled(100)
    length = block_length(100)
    assert places.shape == (1000, 100) and length == 9
    assert (np.diff(places[:, :length]) % 100 == 1).all() and places.min() == 0 and places.max() == 99
    counts = np.bincount(places.ravel(), minlength=100)
    assert counts.min() > 800 and counts.max() < 1200, (
        "every token comes equally often: the last joins the first"
    )


def chained(random, n, memory):
    """Numbers of mean 0 that remember the one before."""
    values = random.normal(size=n)
    for t in range(1, n):
        values[t] += memory * values[t - 1]
    return values


def test_intervals_cover_where_tokens_depend_on_each_other_and_single_ones_would_not():
    random, n, memory = np.random.default_rng(0), 512, 0.8
    draws = resampled(n)
    single = np.random.default_rng(0).integers(0, n, draws.shape)
    inside = {"blocks": 0, "single": 0}
    for _ in range(100):
        values = chained(random, n, memory)
        for name, places in (("blocks", draws), ("single", single)):
            low, high = interval(values, mean, places)
            inside[name] += low <= 0 <= high
    assert inside["blocks"] >= 80, "of 95: few blocks know a little less than they should"
    assert inside["single"] <= 65, "tokens taken one by one promise far too much"


def test_an_interval_of_a_quantile_of_independent_numbers_covers():
    random, n, inside = np.random.default_rng(1), 400, 0
    draws = resampled(n)
    for _ in range(60):
        low, high = interval(random.uniform(size=n), quantile(0.5), draws)
        inside += low <= 0.5 <= high
    assert inside >= 50


def test_without_distributions_the_spans_still_say_something():
    s = summary_of(replace(C, rows=None, unavailable={"rows": "other vocabularies"}))
    assert {row.name for row in s.rows} == {
        "bits_per_byte_a",
        "bits_per_byte_b",
        "mean_span_surprisal_change",
    }
    assert "mean_kl_ab" not in s
    with pytest.raises(KeyError):
        _ = s["mean_kl_ab"]


def percentile(values, share):
    """As llama.cpp takes one: between two neighbours of the sorted values."""
    values = sorted(values)
    place = share * (len(values) - 1)
    below = min(int(place), len(values) - 2)
    return values[below] + (place - below) * (values[below + 1] - values[below])


def test_the_published_rows_have_their_names_order_and_values():
    table, rows = published_rows(C), C.rows
    names = [row.name for row in table.rows]
    assert names[:6] == [
        "Mean PPL(Q)",
        "Mean PPL(base)",
        "Cor(ln(PPL(Q)), ln(PPL(base)))",
        "Mean ln(PPL(Q)/PPL(base))",
        "Mean PPL(Q)/PPL(base)",
        "Mean PPL(Q)-PPL(base)",
    ]
    kl, change = known(rows.kl_ab), known(rows.prob_change)
    base, other = known(rows.surprisal_a), known(rows.surprisal_b)
    expected = {
        "Mean PPL(Q)": np.exp(other.mean()),
        "Mean PPL(base)": np.exp(base.mean()),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": np.corrcoef(base, other)[0, 1],
        "Mean ln(PPL(Q)/PPL(base))": (other - base).mean(),
        "Mean PPL(Q)/PPL(base)": np.exp(other.mean()) / np.exp(base.mean()),
        "Mean PPL(Q)-PPL(base)": np.exp(other.mean()) - np.exp(base.mean()),
        "Mean KLD": kl.mean(),
        "Maximum KLD": kl.max(),
        "99.9% KLD": percentile(kl, 0.999),
        "Median KLD": percentile(kl, 0.5),
        "5.0% KLD": percentile(kl, 0.05),
        "Minimum KLD": kl.min(),
        "Mean Δp": change.mean(),
        "Maximum Δp": change.max(),
        "99.0% Δp": percentile(change, 0.99),
        "75.0% Δp": percentile(change, 0.75),
        "0.1% Δp": percentile(change, 0.001),
        "Minimum Δp": change.min(),
        "RMS Δp": np.sqrt((change**2).mean()),
        "Same top p": (known(rows.first_differs) == 0).mean(),
    }
    for name, value in expected.items():
        assert table[name].value == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_published_rows_need_whole_distributions():
    with pytest.raises(AnalysisError, match=r"not compared\. other vocabularies"):
        published_rows(replace(C, rows=None, unavailable={"rows": "other vocabularies"}))
    with pytest.raises(AnalysisError, match="lower bound"):
        published_rows(replace(C, rows=replace(C.rows, rest_a=C.rows.tv)))
