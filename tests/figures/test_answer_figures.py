"""Charts of rules and of many answers: what is drawn, in which unit, from which numbers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from math import log

import numpy as np
import pytest

from analysis.drawing.charts import MAX_POINTS, chart_svg, spec_svg
from analysis.writing.answer_figures import difficulty_chart, steering_chart
from analysis.writing.difficulty import difficulty
from analysis.writing.rules.figures import rule_chart, with_token
from analysis.writing.rules.overlays import RULES, overlay
from analysis.writing.steering import Steered
from tests.budget import EXACT
from tests.figures.synthetic import HOSTILE, run

each_theme = pytest.mark.parametrize("theme_name", ["light", "dark"])


def datasets(chart):
    return list(chart.to_dict()["datasets"].values())


@each_theme
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_drawn(rule, theme_name):
    tokens = run(60).tokens
    found = overlay(rule, tokens, 20)
    chart = rule_chart(tokens, found, first=20, unit="bits", theme_name=theme_name, token=30)
    assert chart_svg(chart)
    lines = next(rows for rows in datasets(chart) if len(rows) == 40)
    assert lines[0]["position"] == 20
    assert lines[5]["entropy"] == pytest.approx(tokens.entropy[25] / log(2), rel=1e-6)
    scale = log(2) if found.level_power else 1
    known = [t for t in range(20, 60) if not np.isnan(found.level[t])]
    assert all(lines[t - 20]["level"] == pytest.approx(found.level[t] / scale, rel=EXACT) for t in known)
    assert {row["position"] for row in lines if row["marked"]} == set(found.positions)


def test_a_count_has_an_axis_of_its_own():
    tokens = run(60).tokens
    trials = rule_chart(tokens, overlay("cautious trials", tokens)).to_dict()
    assert trials["resolve"]["scale"]["y"] == "independent"
    assert "resolve" not in rule_chart(tokens, overlay("moving threshold", tokens)).to_dict()


@each_theme
@pytest.mark.parametrize("rule", ["cautious trials", "moving threshold"])
def test_a_mark_that_is_moved_is_the_mark_of_a_new_chart(rule, theme_name):
    tokens = run(60).tokens
    found = overlay(rule, tokens, 20)
    spec = rule_chart(tokens, found, theme_name=theme_name).to_dict()
    before = deepcopy(spec)
    whole = rule_chart(tokens, found, theme_name=theme_name, token=30).to_dict()
    assert spec_svg(with_token(spec, 30, theme_name)) == spec_svg(whole) != spec_svg(spec)
    assert spec == before


def test_all_marks_of_a_long_text_are_drawn():
    n = 2 * MAX_POINTS + 1
    tokens = run(n).tokens
    found = replace(overlay("moving threshold", tokens), marks=np.arange(n) % 2 == 1)
    rows = sorted(len(data) for data in datasets(rule_chart(tokens, found)))
    assert rows == [-(-n // 3), n // 2]


def test_a_hostile_prompt_is_text():
    entropies = [[np.array([2.0])], [np.array([1.0])] * 2, [np.array([3.0])]]
    found = difficulty([HOSTILE[3], HOSTILE[7], "c"], entropies, [[True], [True, False], [False]])
    chart = difficulty_chart(found, unit="bits")
    assert b"<script" not in chart_svg(chart)
    dots = next(rows for rows in datasets(chart) if "prompt" in rows[0])
    assert [row["entropy"] for row in dots] == pytest.approx([2 / log(2), 1 / log(2), 3 / log(2)])
    bins = next(rows for rows in datasets(chart) if "begin" in rows[0])
    assert {row["bin"]: row["entropy"] for row in bins} == pytest.approx(
        {"hard": 3 / log(2), "medium": 1 / log(2), "easy": 2 / log(2)}
    )


def test_a_bin_without_prompts_has_no_line():
    chart = difficulty_chart(difficulty(["a", "b"], [[np.array([1.0])], [np.array([])]], [[True], [True]]))
    assert sorted(len(rows) for rows in datasets(chart)) == [1, 1] and chart_svg(chart)


@each_theme
def test_steering_is_drawn_with_its_mean(theme_name):
    p = np.array([[[0.5, 0.5], [0.9, 0.1]], [[0.25, 0.25], [0.05, 0.05]]])
    found = Steered(1, np.array([-1.0, 2.0]), ("a", "b"), p)
    chart = steering_chart(found, theme_name=theme_name)
    mean = next(rows for rows in datasets(chart) if len(rows) == 2)
    sure = -(0.9 * log(0.9) + 0.1 * log(0.1))
    assert [row["entropy"] for row in mean] == pytest.approx([(log(2) + sure) / 2, log(2)])
    assert [row["mass"] for row in mean] == pytest.approx([1, 0.3]) and chart_svg(chart)
