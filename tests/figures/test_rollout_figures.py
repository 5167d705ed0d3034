"""Pictures of trainer against engine, by hand-made values."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.comparison.rollout_figures import SMALLEST, rollout_entropy, rollout_ratios, rollout_sequences
from analysis.comparison.rollouts import RolloutMismatch
from analysis.drawing.charts import MAX_POINTS, chart_svg
from analysis.results.tokens import printable
from tests.figures.synthetic import HOSTILE, data_of

LN2 = np.log(2)


def mismatch(n: int = 12, off: float = 0.1) -> RolloutMismatch:
    noise = np.random.default_rng(0)
    engine = -noise.exponential(1, n)
    own = engine + off * noise.standard_normal(n)
    own[0] = engine[0]
    return RolloutMismatch(
        name="rows",
        model="tiny, float32",
        sequence=(np.arange(n) // 5).astype(np.int32),
        position=(np.arange(n) % 5 + 1).astype(np.int32),
        token_id=np.arange(n),
        text=tuple(printable(HOSTILE[i % len(HOSTILE)]) for i in range(n)),
        engine=engine,
        own=own,
        entropy=noise.exponential(1, n),
    )


def layers(chart):
    spec = chart.to_dict()
    return [(layer, data_of(spec, layer)) for layer in spec["layer"]]


def test_every_token_is_in_a_bar_and_the_cap_is_drawn_only_where_a_ratio_is_near():
    found = mismatch()
    (_, bars), (_, rules) = layers(rollout_ratios(found))
    assert bars["tokens"].sum() == len(found) and rules["at"].tolist() == [0]
    wide = mismatch(off=3.0)
    assert (wide.log_ratio > LN2).any()
    for unit, cap in (("nats", LN2), ("bits", 1.0)):
        (_, bars), (_, rules) = layers(rollout_ratios(wide, unit=unit))
        np.testing.assert_allclose(rules["at"], [0, cap])
        assert bars["low"].min() < 0 and bars["tokens"].sum() == len(wide)


def test_mismatch_against_entropy_has_a_mark_for_every_token_and_one_for_every_bin():
    found = mismatch()
    (_, dots), (_, line) = layers(rollout_entropy(found, unit="bits", n_bins=3))
    assert len(dots) == len(found) and len(line) == 3 and line["n_tokens"].tolist() == [4, 4, 4]
    np.testing.assert_allclose(dots["size"][1:], np.abs(found.log_ratio[1:]) / LN2)
    assert dots["exact"][0] == 0 and dots["size"][0] == pytest.approx(SMALLEST / LN2)
    np.testing.assert_allclose(line["entropy"], found.by_entropy(3)["entropy_nats"] / LN2)


def test_more_tokens_than_a_browser_draws_are_thinned_and_said():
    chart = rollout_entropy(mismatch(2 * MAX_POINTS + 1))
    (layer, dots), _ = layers(chart)
    assert len(dots) <= MAX_POINTS and "1 of 3 tokens drawn" in layer["encoding"]["x"]["title"]


def test_sequences_are_drawn_by_length_and_sum():
    found = mismatch()
    _, (_, dots) = layers(rollout_sequences(found))
    assert dots["n_tokens"].tolist() == [5, 5, 2]
    np.testing.assert_allclose(
        dots["sum"], [found.log_ratio[:5].sum(), found.log_ratio[5:10].sum(), found.log_ratio[10:].sum()]
    )


@pytest.mark.parametrize("draw", [rollout_ratios, rollout_entropy, rollout_sequences])
@pytest.mark.parametrize("theme_name", ["light", "dark"])
def test_they_are_drawn(draw, theme_name):
    for found in (mismatch(), mismatch(1), mismatch(off=0.0)):
        assert chart_svg(draw(found, theme_name=theme_name)).startswith(b"<svg")
