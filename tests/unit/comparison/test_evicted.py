"""An eviction as a side: the rest of the text as a mask would have it, and nothing said about what came before."""

from __future__ import annotations

import numpy as np
import pytest

import analysis as an
from analysis.errors import AnalysisError, InvalidTextError
from analysis.forward.visibility import Visibility
from analysis.pruning_effects.eviction.budgets import kept_count
from tests.budget import WIDE, rounding
from tests.tiny_models.families import FAMILIES

TEXT = "the tin in the inn is thin and the hen is in it, and he sat at the fire on a moor"


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3"])
def test_the_rest_is_read_as_if_what_is_gone_were_hidden(load_tiny, family):
    """ "window" keeps the last tokens of the beginning, so a mask is written down by hand."""
    assert family in FAMILIES
    model = load_tiny(family)
    c = an.compare(an.Side(model, TEXT), an.Side(model, TEXT, eviction=an.Eviction("window", 0.5)))
    n = len(c.a.tokens)
    at = n // 2
    hidden = np.arange(n) < at - kept_count(at, 0.5)
    masked = an.trace(model, TEXT, visibility=Visibility(hidden=hidden, first_query=at))
    known = np.arange(n) > at
    np.testing.assert_array_equal(c.b.tokens.has_context, known)
    near = WIDE * rounding(masked.tokens.surprisal)
    for name in ("entropy", "surprisal"):
        found, expected = (getattr(run.tokens, name)[known] for run in (c.b, masked))
        np.testing.assert_allclose(found, expected, atol=near)
    np.testing.assert_array_equal(c.rows.has_context, known)
    np.testing.assert_allclose(c.rows.surprisal_b[known], masked.tokens.surprisal[known], atol=near)
    assert c.rows.tv[known].max() > 1e-3
    assert all(check.passed for check in c.checks), [check for check in c.checks if not check.passed]


def test_it_says_what_was_evicted(llama):
    c = an.compare(
        an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("h2o", 0.25, n_context=20))
    )
    assert len(c.differs) == 1 and c.differs[0].startswith("cache: whole and ")
    assert "keeps 25% of the first 20 tokens" in c.differs[0]
    assert "evicted" in c.unavailable["structure"] and np.isnan(c.b.tokens.entropy[:21]).all()
    again = an.compare(
        an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("h2o", 0.25, n_context=20))
    )
    np.testing.assert_array_equal(c.rows.kl_ab, again.rows.kl_ab)


def test_the_full_cache_changes_nothing(llama):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("full", 1.0)))
    known = c.rows.has_context
    assert known.sum() == len(known) - len(known) // 2 - 1
    assert np.abs(c.rows.surprisal_change[known]).max() <= WIDE * rounding(c.rows.surprisal_a[known])


def test_draws_of_a_random_method_differ(llama):
    one, two = (
        an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("random", 0.3, seed=seed)))
        for seed in (0, 1)
    )
    known = one.rows.has_context
    assert (one.rows.tv[known] != two.rows.tv[known]).any() and one.differs != two.differs


def test_a_run_with_an_eviction_is_stored_and_opened(llama, tmp_path):
    c = an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("knorm", 0.5)))
    run = an.load_trace(c.b.save(tmp_path / "b.trace"))
    assert run.spec == c.b.spec and run.spec.eviction


@pytest.mark.parametrize("n_context", [0, 1, 10**6])
def test_a_place_where_nothing_can_be_evicted_is_refused(llama, n_context):
    with pytest.raises(InvalidTextError, match="nothing can be evicted"):
        an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=an.Eviction("h2o", 0.5, n_context)))


def test_a_method_that_cannot_run_is_said(llama):
    for wrong in (an.Eviction("nothing", 0.5), an.Eviction("h2o", 1.5)):
        with pytest.raises(AnalysisError):
            an.compare(an.Side(llama, TEXT), an.Side(llama, TEXT, eviction=wrong))
