"""Every rule says where it is from, what it needs and what may be set, and runs with its own constants."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from analysis.comparison.rules.laid import Laid
from analysis.comparison.rules.origin import Knowledge
from analysis.comparison.rules.r2r import log_u
from analysis.comparison.rules.registry import RULES, lay
from analysis.comparison.rules.strips import laid_strip
from analysis.errors import AnalysisError
from tests.comparisons import (
    Truth,
    V,
    attention,
    comparison_of,
    made_comparison,
    made_spans,
    made_truth,
    reads_twice,
)
from tests.unit.comparison.whole_distributions import whole_of_truth

ONE = [name for name, rule in RULES.items() if rule.needs not in ("texts >= 30", "variants")]


def with_attention(c):
    """Both runs with attention."""
    a, b = (replace(run, attention=attention(np.ones(len(run.tokens)))) for run in (c.a, c.b))
    return replace(c, a=a, b=b)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_where_it_is_from(name):
    rule = RULES[name]
    origin = rule.origin
    assert origin.source and origin.formula and origin.note.endswith(".") and origin.sides.startswith("A ")
    assert origin.known in get_args(Knowledge) and rule.label
    for one in origin.constants:
        assert one.low <= one.default <= one.high and one.step > 0 and one.label, one.name
        assert one.known in get_args(Knowledge)
        assert isinstance(rule.defaults[one.name], int) == one.is_whole


def test_what_is_a_guess_is_said():
    """A rule that was read in code only has constants of ours where its note says so."""
    for rule in RULES.values():
        guessed = [
            one for one in rule.origin.constants if one.known == "guess of ours" and one.name != "first"
        ]
        if guessed and rule.origin.known in (
            "code read",
            "second hand",
            "abstract only",
            "paper's equations",
        ):
            assert any(word in rule.origin.note for word in ("ours", "guess", "not known")), rule.name


@pytest.mark.parametrize("name", ONE)
def test_every_rule_runs_and_says(name):
    c, whole = with_attention(reads_twice(made_comparison(24, ahead=2))), whole_of_truth(made_truth(24))
    rule = RULES[name]
    found = lay(name, c, *([whole] if rule.needs == "heads" else []))
    assert isinstance(found, Laid) and found.origin is rule.origin
    n = len(c.spans.text) if found.over == "spans" else len(c.alignment.pairs)
    assert found.marks.shape == (n,) and found.marks.dtype == bool
    for quantity in found.quantities:
        assert quantity.values.shape == (n,) and quantity.values.dtype == np.float64, quantity.name
        known = rule.needs == "attention" or quantity.name in ("different", "surprisal_b")
        assert np.isnan(quantity.values[0]) or known, quantity.name
    assert not found.marks[0] or found.over == "spans"
    assert found.curve is (found.curves[0] if found.curves else None)
    assert len(found.to_frame(c)) == n and found.says("bits") and found.says() == found.says("nats")
    assert len(found.on(c, "a")) == 24 and len(found.on(c, "b")) == 26


def test_what_a_rule_needs_is_asked_for():
    c, spans = made_comparison(24), made_spans()
    for name, rule in RULES.items():
        reason = rule.why_not(spans)
        assert reason == "" if rule.needs == "spans" else reason.endswith("."), name
        behind = rule.why_not(made_comparison(24, ahead=2))
        assert bool(behind) == (rule.needs in ("texts >= 30", "variants", "attention")), name
        assert bool(rule.why_not(c)) >= rule.prompts, name
    assert RULES["edge_qat"].why_not(with_attention(c)) == ""
    without = replace(c, b=replace(c.b, final_states=None))
    assert RULES["cdpo"].why_not(without) == "A side has no final states."
    assert RULES["spectr"].why_not(without) == ""


def test_the_first_curve_is_the_one_that_a_rule_is_known_for():
    c, whole = made_comparison(40), whole_of_truth(made_truth(40))
    names = {
        "ead": ("share of tokens routed", "mean surprisal"),
        "r2r": ("threshold", "share of tokens"),
        "dyspec": ("entropy of A", "acceptance by B"),
        "spectr_many": ("drafts", "mean acceptance"),
    }
    for name, axes in names.items():
        curve = lay(name, c, *([whole] if RULES[name].needs == "heads" else [])).curve
        assert curve is not None and (curve.x_name, curve.y_name) == axes
    both = lay("r2r", c).curve
    assert both is not None and [line.name for line in both.lines] == ["routed", "differing tokens found"]


def test_logu_is_laid_over_with_the_logits_of_a():
    """What the rule routes is what its formula says of these logits."""
    c, whole = made_comparison(40), whole_of_truth(made_truth(40))
    assert whole.top_logits is not None
    value = log_u(whole.top_logits())
    found = lay("r2r_logu", c, whole, threshold=float(np.nanmedian(value)))
    np.testing.assert_allclose(found.values("signal")[1:], value[1:])
    np.testing.assert_array_equal(found.marks, value >= np.nanmedian(value))
    with pytest.raises(AnalysisError, match="largest logits"):
        lay("r2r_logu", c, replace(whole, top_logits=None))


def apart():
    """Sides that give everything to different tokens, as near to nothing as arrays of the test can say."""
    log_p, log_q = (np.full((7, V), -600.0) for _ in range(2))
    log_p[:, 3], log_q[:, 4] = 0.0, 0.0
    log_p[0] = log_q[0] = np.nan
    return Truth(np.full(6, 3), log_p, log_q)


@pytest.mark.parametrize(
    "truth",
    [made_truth(2), replace(made_truth(12), log_q=made_truth(12).log_p), apart()],
    ids=["two tokens", "equal sides", "nothing in common"],
)
@pytest.mark.parametrize("name", [name for name in ONE if name != "r2r_logu"])
def test_short_texts_equal_sides_and_sides_apart_have_numbers(name, truth):
    c, rule = with_attention(reads_twice(comparison_of(truth))), RULES[name]
    found = lay(name, c, *([whole_of_truth(truth)] if rule.needs == "heads" else []))
    assert np.isfinite(found.quantities[0].values[1:]).all()
    assert np.isfinite(laid_strip(c, found, "b").values[1:]).all() and found.says()


def test_a_text_without_a_predicted_token_is_refused():
    whole = whole_of_truth(made_truth(1))
    for name in ONE:
        if RULES[name].needs != "attention":
            with pytest.raises(AnalysisError):
                lay(name, comparison_of(made_truth(1)), *([whole] if RULES[name].needs == "heads" else []))
