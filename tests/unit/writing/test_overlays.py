"""Rules laid over a text: marks, levels, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.token_entropy import measures
from analysis.writing.rules.cntp import cautious_trials
from analysis.writing.rules.deep_thinking import deep_thinking
from analysis.writing.rules.overlays import (
    RULES,
    STRETCH,
    deep_thinking_overlay,
    overlay,
    segments_overlay,
)
from tests.figures.synthetic import run


@pytest.fixture
def tokens():
    return run(60).tokens


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("first", [0, 20])
def test_every_rule_marks_and_says(tokens, rule, first):
    found = overlay(rule, tokens, first)
    assert found.rule == rule and found.says.endswith(".") and found.source and found.known
    assert found.marks.dtype == bool and found.marks.shape == (60,) and not found.marks[: max(first, 1)].any()
    assert found.positions == tuple(np.flatnonzero(found.marks))
    assert found.level is not None and found.level.shape == (60,) and np.isnan(found.level[:first]).all()
    assert found.level_name and all(isinstance(value, float) for _, value in found.constants)
    frame = found.to_frame(tokens)
    assert len(frame) == 60 and frame["marked"].sum() == len(found.positions) and frame.shape[1] == 4


def test_the_words_before_do_not_count(tokens):
    """The rule over the written part alone is that over a text of these tokens."""
    entropy = np.where(np.arange(60) < 30, 9.0, 1.0).astype(np.float32)
    entropy[58] = 5
    shaped = replace(tokens, entropy=entropy)
    assert overlay("moving threshold", shaped, 30).positions == (58,)
    assert overlay("moving threshold", shaped).positions == (58,)
    late = np.where(np.arange(60) < 40, 9.0, 1.0).astype(np.float32)
    late[58] = 5
    assert overlay("moving threshold", replace(tokens, entropy=late), 40).positions == ()


def test_levels_are_those_of_the_rules(tokens):
    gap = overlay("surprise gap", tokens)
    np.testing.assert_allclose(gap.level[1:], tokens.gap[1:], rtol=1e-6)
    assert gap.positions == () and "no RSI" in gap.known
    srgen = overlay("moving threshold", tokens)
    np.testing.assert_array_equal(srgen.level, measures.moving_threshold(tokens.entropy))
    trials = overlay("cautious trials", tokens)
    found = cautious_trials(tokens.top_logprobs, tokens.text)
    np.testing.assert_array_equal(trials.level[trials.level > 0], found.trials[found.trials > 0])
    stretch = overlay("group confidence", tokens)
    assert len(stretch.positions) == STRETCH and stretch.level_power == 1
    assert (
        stretch.marks[int(np.nanargmin(stretch.level))]
        and dict(stretch.constants)["stretch, tokens"] == STRETCH
    )


def test_the_end_of_thinking_ends_the_switches(tokens):
    found = overlay("thinking switches", tokens, thinking_end=30)
    assert found.positions and max(found.positions) < 30 and np.isnan(found.level[30:]).all()


def test_short_texts_have_overlays():
    tokens = run(2).tokens
    for rule in RULES:
        assert len(overlay(rule, tokens).marks) == 2


def test_kinds_of_text_as_an_overlay(tokens):
    text = "ab ```".replace(" ", "\n") + "\n" + "x" * 53
    at = np.arange(60, dtype=np.int32)
    made = replace(tokens, start=at, end=at + 1, entropy=np.where(at < 3, 1.0, 3.0).astype(np.float32))
    found = segments_overlay(text, made)
    assert found.positions == tuple(range(3, 60)) and "57 tokens" in found.says and "+2.00 nats" in found.says
    assert segments_overlay(text, made, 10).positions == tuple(range(10, 60))


def test_deep_thinking_as_an_overlay():
    divergence = np.array([[np.nan, 0.6, 0.1], [np.nan, 0, 0]])
    found = deep_thinking_overlay(deep_thinking(divergence))
    assert found.positions == (1,) and found.level[1:].tolist() == [2, 1] and np.isnan(found.level[0])
    assert dict(found.constants)["settled at, nats"] == 0.5 < log(2)


def test_what_is_missing_is_said(tokens):
    for wrong in (
        lambda: overlay("none", tokens),
        lambda: overlay("surprise gap", tokens, 60),
        lambda: segments_overlay("", tokens),
    ):
        with pytest.raises(AnalysisError) as raised:
            wrong()
        assert raised.value.hint
