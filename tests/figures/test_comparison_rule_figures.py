"""Pictures of rules over two sides: what is drawn is what the rule says, with names and units on the axes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.comparison.rules import dyspec
from analysis.comparison.rules.cascades import DeferralCurve
from analysis.comparison.rules.figures import curve_chart, laid_chart, laid_text, quadrant_chart
from analysis.comparison.rules.registry import RULES, lay
from analysis.comparison.rules.routing import routing_curve
from analysis.comparison.rules.strips import laid_strip
from analysis.comparison.rules.tip import quadrants
from analysis.drawing.charts import chart_svg, for_projector
from analysis.drawing.strip import MARKED
from tests.comparisons import made_comparison, made_spans, reads_twice
from tests.figures.synthetic import data_of

BIT = float(np.log(2))
ROWS = [name for name, rule in RULES.items() if rule.needs in ("rows", "spans")]


def axes(spec):
    """Titles of all axes of a chart, and whether a layer has one that is not named."""
    found = set()
    for layer in spec["layer"]:
        for side in ("x", "y"):
            if side in layer["encoding"]:
                found.add(layer["encoding"][side]["title"])
    return found


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_every_rule_is_drawn(name, theme_name):
    c = reads_twice(made_comparison(24))
    laid = lay(name, c)
    chart = laid_chart(c, laid, unit="bits", theme_name=theme_name, item=3)
    spec = chart.to_dict()
    assert axes(spec) == {
        "span" if laid.over == "spans" else "token of A",
        laid.quantities[0].title("bits"),
    }
    svg = chart_svg(chart).decode()
    assert "<path" in svg and "NaN" not in svg
    assert for_projector(chart, theme_name).height > chart.height
    for curve in laid.curves:
        assert "<path" in chart_svg(curve_chart(curve, theme_name=theme_name)).decode()


def test_marks_stand_at_their_values_in_the_unit():
    c = made_comparison(24)
    laid = lay("tdpo", c)
    spec = laid_chart(c, laid, unit="bits").to_dict()
    line, limit, marks = (data_of(spec, layer) for layer in spec["layer"][:3])
    np.testing.assert_allclose(line["v0"].astype(float)[1:], laid.values("reward")[1:] / BIT)
    assert marks["position"].tolist() == list(laid.positions)
    np.testing.assert_allclose(marks["v0"], laid.values("reward")[laid.marks] / BIT)
    assert limit["limit"].tolist() == [0] and laid.quantities[0].title("bits") == "token reward (bits)"
    here = laid_chart(c, laid, item=5).to_dict()["layer"][-1]
    assert data_of(laid_chart(c, laid, item=5).to_dict(), here)["position"].tolist() == [5]


def test_a_threshold_in_nats_is_drawn_in_bits():
    c = made_comparison(24)
    found = routing_curve(c, "entropy", 1.0)
    spec = laid_chart(c, found.laid, unit="bits").to_dict()
    assert data_of(spec, spec["layer"][1])["limit"].tolist() == pytest.approx([1 / BIT])


def test_curves_of_a_router():
    c = made_comparison(40)
    found = routing_curve(c, "EAD", 2.0)
    curve = found.against_loss()
    chart = curve_chart(curve, unit="bits")
    spec = chart.to_dict()
    assert axes(spec) == {"share of tokens routed", "mean surprisal (bits)"}
    frame = data_of(spec, spec["layer"][0])
    own = frame[frame["line"] == "EAD"]
    np.testing.assert_allclose(own["x"], found.share)
    np.testing.assert_allclose(own["y"], found.loss / BIT)
    assert set(frame["line"]) == {"EAD", "random tokens", "tokens that gain most"}
    place = data_of(spec, spec["layer"][1])
    assert (place["x"][0], place["y"][0]) == pytest.approx((found.chosen[0], found.chosen[1] / BIT))
    recall = curve_chart(found.against_recall()).to_dict()
    assert axes(recall) == {"share of tokens routed", "share of differing tokens found"}
    over = curve_chart(found.against_threshold(), unit="bits").to_dict()
    assert axes(over) == {"threshold (bits)", "share of tokens"}
    table = curve.to_frame("bits")
    assert list(table.columns) == ["line", "share_of_tokens_routed", "mean_surprisal_bits"]
    assert len(table) == sum(len(line.x) for line in curve.lines)


def test_the_order_of_points_is_that_of_the_line():
    """A recall that stays while the share rises must not be sorted by its own value."""
    found = routing_curve(made_comparison(40), "entropy")
    spec = curve_chart(found.against_recall()).to_dict()
    assert spec["layer"][0]["encoding"]["order"]["field"] == "order"


def test_deferral_and_acceptance_have_curves():
    small = np.array([3.0, 1.0])
    deferral = DeferralCurve(small, small - 1, {"Chow-Sum": small, "Chow-Average": small})
    spec = curve_chart(deferral.curve(), unit="bits").to_dict()
    assert axes(spec) == {"share of texts deferred", "mean surprisal per byte (bits)"}
    one = curve_chart(dyspec.by_entropy(made_comparison(24)), unit="bits").to_dict()
    assert axes(one) == {"entropy of A (bits)", "acceptance by B"}
    assert one["layer"][0]["encoding"]["color"]["legend"] is None, "one line needs no legend"


@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_the_scatter_has_every_token_and_the_cuts(theme_name):
    c = made_comparison(24)
    found = quadrants(c, 0.3, 0.2)
    chart = quadrant_chart(c, found, theme_name=theme_name, item=4)
    spec = chart.to_dict()
    points = data_of(spec, spec["layer"][0])
    assert len(points) == 23 and "<path" in chart_svg(chart).decode()
    np.testing.assert_allclose(points["h"], found.entropy[1:])
    np.testing.assert_allclose(points["d"], found.divergence[1:])
    assert data_of(spec, spec["layer"][1])["h"].tolist() == [0.3]
    assert data_of(spec, spec["layer"][2])["d"].tolist() == [0.2]
    assert axes(spec) == {"entropy of A / ln V", "Jensen-Shannon divergence / ln 2"}
    assert data_of(spec, spec["layer"][3])["position"].tolist() == [4]
    assert isinstance(found.to_frame(), pd.DataFrame)
    assert len(quadrant_chart(c, found, item=0).to_dict()["layer"]) == 3, (
        "a token without context is no point"
    )


def test_spans_are_drawn_by_their_number():
    c = made_spans()
    spec = laid_chart(c, lay("other_tokenizer", c)).to_dict()
    assert axes(spec) == {"span", "surprisal change per byte (nats)"}


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_strip_has_the_rule_s_numbers_and_marks_on_each_side(side):
    c = made_comparison(24, ahead=2)
    laid = lay("tdpo", c)
    strip = laid_strip(c, laid, side, unit="bits")
    first = 2 if side == "b" else 0
    assert strip.n_tokens == 24 + first and np.isnan(strip.values[: first + 1]).all()
    np.testing.assert_allclose(strip.values[first + 1 :], laid.values("reward")[1:] / BIT, rtol=1e-6)
    marked = np.flatnonzero(strip.flags & MARKED) - first
    assert marked.tolist() == list(laid.positions) and strip.marked == "rewarded"
    assert strip.low == -strip.high and strip.unit == "bits", "a reward has a sign"
    entropy = laid_strip(c, lay("dyspec", c), side)
    assert entropy.low == 0 and entropy.unit == ""


def test_tokens_of_a_span_have_its_number():
    c = made_spans()
    laid = lay("other_tokenizer", c)
    value = laid.values("change_per_byte")
    for side, spans in (("a", [0, 0, 1, 2, 2, 3]), ("b", [0, 1, 1, 2, 2, 3])):
        np.testing.assert_allclose(laid_strip(c, laid, side).values, value[spans], rtol=1e-6)


def test_the_text_of_a_rule_is_a_figure_of_its_own():
    c = made_comparison(24)
    html = laid_text(c, lay("ead", c), unit="bits").html
    assert "keeper" in html and "mean entropy of A" in html and "A is the small model" in html
