"""Pictures of two sides, by hand-made values: strips, curves, quadrants, heads and layers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison.figures import (
    along_panels,
    change_quadrants,
    compared_along,
    compared_frame,
    corner_counts,
)
from analysis.comparison.items import items_of
from analysis.comparison.quantities import COMPARED_QUANTITIES, last_colour, quantities_between, rounded_up
from analysis.comparison.strip_html import compared_strips, twin_html
from analysis.comparison.strips import OTHER_CHOICE, twin_strip
from analysis.drawing.charts import chart_svg, styled
from analysis.drawing.strip import ABSENT, MARKED
from analysis.errors import AnalysisError
from tests.comparisons import made_comparison, made_spans
from tests.figures.synthetic import HOSTILE, data_of

LN2 = np.log(2)


@pytest.fixture
def c():
    return made_comparison(24)


@pytest.mark.parametrize("name", list(COMPARED_QUANTITIES))
def test_every_quantity_gives_three_strips_of_the_same_cells_on_one_scale(name, c):
    twin = twin_strip(c, name)
    declared = COMPARED_QUANTITIES[name]
    assert (twin.a.low, twin.a.high) == (twin.b.low, twin.b.high) and twin.a.low == 0
    np.testing.assert_array_equal(twin.a.cell, twin.change.cell)
    np.testing.assert_allclose(twin.change.values, getattr(c.rows, name), rtol=1e-6)
    assert twin.change.low == (-twin.change.high if declared.signed else 0)
    side = {"rank": np.log10(np.maximum(c.rows.rank_a, 1))}.get(declared.side)
    side = getattr(c.rows, f"{declared.side}_a") if side is None else side
    np.testing.assert_allclose(twin.a.values[1:], side[1:], rtol=1e-5, atol=1e-6)
    assert np.isnan(twin.a.values[0])
    if declared.side != "rank":
        both = np.concatenate([getattr(c.rows, f"{declared.side}_{s}") for s in "ab"])
        assert twin.a.high == np.ceil(np.nanpercentile(both, 99))
    np.testing.assert_array_equal((twin.change.flags & MARKED) > 0, c.rows.first_differs == 1)
    assert twin.change.marked == OTHER_CHOICE


def test_a_divergence_is_faint_at_zero_and_ink_at_its_end_and_a_change_is_neutral_in_the_middle(c):
    jsd, change = twin_strip(c, "jsd").change, twin_strip(c).change
    assert jsd.light[0].tolist() == [255, 255, 255] and jsd.light[-1].tolist() == [0x1C, 0x1D, 0x22]
    assert change.light[0].tolist() == [0x2C, 0x6F, 0xBB] and change.light[-1].tolist() == [0xC6, 0x5A, 0x00]
    assert change.light[127].min() > 240


def test_what_one_side_lacks_is_absent_and_not_compared():
    c = made_comparison(6, ahead=2)
    twin = twin_strip(c)
    assert (twin.a.flags & ABSENT).tolist() == [ABSENT, ABSENT, 0, 0, 0, 0, 0, 0] and not (
        twin.b.flags & ABSENT
    ).any()
    assert np.isnan(twin.change.values[:3]).all() and not np.isnan(twin.change.values[3:]).any()
    assert "nothing here" in twin.change.details[0] and "B: token 0" in twin.change.details[0]
    np.testing.assert_allclose(twin.b.values[1], c.b.tokens.surprisal[1])


def test_units(c):
    nats, bits = twin_strip(c, "kl_ab"), twin_strip(c, "kl_ab", unit="bits")
    np.testing.assert_allclose(bits.change.values, nats.change.values / LN2, rtol=1e-5)
    np.testing.assert_allclose(bits.a.values, nats.a.values / LN2, rtol=1e-5)
    np.testing.assert_array_equal(
        twin_strip(c, "tv", unit="bits").change.values, twin_strip(c, "tv").change.values
    )
    assert bits.change.unit == "bits" and twin_strip(c, "tv").change.unit == ""


def test_spans_have_sums_and_no_divergence():
    c = made_spans()
    assert set(quantities_between(c)) == {"surprisal_change", "entropy_change"}
    twin = twin_strip(c)
    np.testing.assert_allclose(twin.a.values[1:], c.spans.surprisal_a[1:], rtol=1e-6)
    np.testing.assert_allclose(twin.b.values[1:], c.spans.surprisal_b[1:], rtol=1e-6)
    np.testing.assert_allclose(twin.change.values[1:], c.spans.surprisal_change[1:], rtol=1e-6)
    with pytest.raises(AnalysisError, match="no KL"):
        twin_strip(c, "kl_ab")


@pytest.mark.parametrize(
    ("value", "end"), [(0, 1), (0.011, 0.02), (0.02, 0.02), (0.3, 0.5), (0.97, 1), (4, 5), (60, 100)]
)
def test_a_scale_ends_at_one_two_or_five(value, end):
    assert rounded_up(value) == pytest.approx(end)
    assert last_colour(np.array([value, -value, np.nan])) == pytest.approx(end)


def test_hostile_tokens_are_escaped_in_the_html(c):
    tokens = replace(
        c.a.tokens, text=HOSTILE, cell_text=HOSTILE, cell=np.arange(len(HOSTILE), dtype=np.int32)
    )
    short = made_comparison(len(HOSTILE))
    hostile = replace(short.a, tokens=replace(short.a.tokens, text=tokens.text, cell_text=tokens.cell_text))
    html = compared_strips(replace(short, a=hostile, b=hostile)).html
    for bad in ("<img", "<b>bold", "<script", "</script"):
        assert bad not in html
    assert "&lt;img" in html and "●" not in html


@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_the_html_has_a_column_for_every_cell(theme_name, c):
    html = twin_html(twin_strip(c), theme_name=theme_name, caption="what & what")
    assert html.count("class=c>") == 24 and "what &amp; what" in html and "<script" not in html
    assert html.count('class="t"') == 48 and html.count('class="d"') == 24


# Curves and quadrants ----------------------------------------------------------------------------------


def test_the_frame_has_a_row_for_every_token_of_a():
    c = made_comparison(6, ahead=2)
    frame = compared_frame(c)
    assert frame["position"].tolist() == list(range(6)) and frame["position_b"].tolist() == list(range(2, 8))
    np.testing.assert_allclose(frame["kl_ab"], c.rows.kl_ab, rtol=1e-6)
    np.testing.assert_allclose(frame["entropy_b"][1:], c.rows.entropy_b[1:], rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("quantity", ["kl_ab", "surprisal_change", "tv", "rank_change"])
def test_curves_draw_both_sides_and_the_difference(quantity, log, c):
    upper, lower = along_panels(c, quantity, log=log, token=4, pick=True)
    upper, lower = styled(upper, "light").to_dict(), styled(lower, "light").to_dict()
    lines = data_of(upper, upper["layer"][0])
    assert set(lines["side"]) == {"A", "B"} and len(lines) == 48
    bars = data_of(lower, lower["layer"][0])
    values = c.rows.surprisal_change if quantity == "surprisal_change" else getattr(c.rows, quantity)
    there = ~np.isnan(values) & ((np.abs(values) > 1e-7) | (not log))
    np.testing.assert_allclose(bars["size"], np.abs(values[there]) if log else values[there], rtol=1e-5)
    names = [param["name"] for spec in (upper, lower) for param in spec.get("params", [])]
    assert names == ["pick", "pick"]
    assert "log" in json.dumps(lower) if log else True
    assert chart_svg(compared_along(c, quantity, log=log, token=4)).startswith(b"<svg")


def test_edges_of_the_texts_are_dotted():
    c = made_comparison(6, ahead=2)
    upper, _ = along_panels(c)
    rules = [layer for layer in styled(upper, "light").to_dict()["layer"] if layer["mark"].get("strokeDash")]
    assert len(rules) == 1


def test_quadrants_count_every_token_once(c):
    frame = compared_frame(c).dropna(subset=["entropy_change", "surprisal_change"])
    counts = corner_counts(frame)
    assert sum(counts) == 23
    surer_wrong = ((c.rows.entropy_change < 0) & (c.rows.surprisal_change > 0)).sum()
    assert counts[0] == surer_wrong
    spec = change_quadrants(c, token=5).to_dict()
    text = json.dumps(spec)
    assert f"surer, and wrong {counts[0]}" in text and f"less sure, yet right {counts[3]}" in text
    assert chart_svg(change_quadrants(c, theme_name="dark", unit="bits")).startswith(b"<svg")


def test_items_are_made_once_for_a_strip(c):
    items = items_of(c)
    assert twin_strip(c, items=items).items is items
