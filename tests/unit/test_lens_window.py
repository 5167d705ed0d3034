"""The lens as cells: whose word stands where, what is outlined, and where the window goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.token_entropy.lens_window import (
    BAR_COLUMNS,
    lens_bar,
    lens_cells,
    lens_quantities_of,
    settled_layer,
    window_at,
    window_start,
)
from tests.figures.synthetic import VOCAB, run


@pytest.fixture
def trace():
    return run(40)


@pytest.mark.parametrize(("quantity", "unit"), [("entropy", "nats"), ("kl", "bits"), ("rank", "nats")])
def test_cells_are_the_runs_own_with_the_last_layer_on_top(trace, quantity, unit):
    cells = lens_cells(trace, quantity, unit=unit, first=7, width=5)
    layers = trace.layers
    assert (
        cells.rows.labels == ("4", "2", "0")
        and cells.columns.names[0] == f"token 7 {cells.columns.labels[0]}"
    )
    wanted = {
        "entropy": layers.lens_entropy,
        "kl": layers.lens_kl / np.log(2),
        "rank": np.log10(np.where(layers.lens_rank > 0, layers.lens_rank, np.nan)),
    }[quantity]
    np.testing.assert_allclose(cells.values, wanted[::-1, 7:12], rtol=1e-6)
    for row, layer in enumerate((2, 1, 0)):
        for column in range(5):
            says, output = layers.lens_top_ids[layer, 7 + column], layers.lens_top_ids[-1, 7 + column]
            assert cells.texts[5 * row + column] == trace.tokens.names[int(says)]
            assert cells.outlined[row, column] == (says == output)
            rank = layers.lens_rank[layer, 7 + column]
            assert f"rank {rank:,}".replace(",", "\u2009") in cells.details[5 * row + column]
    assert not cells.outlined.all() and cells.outlined[0].all()
    high = np.log10(VOCAB) if quantity == "rank" else np.ceil(np.nanpercentile(wanted, 99))
    assert cells.high == pytest.approx(high)


def test_without_context_there_is_no_word_and_no_outline(trace):
    cells = lens_cells(trace, width=3)
    assert np.isnan(cells.values[:, 0]).all() and not cells.outlined[:, 0].any()
    assert [cells.texts[3 * row] for row in range(3)] == ["", "", ""] and cells.details[0] == ""


def test_a_window_lies_in_the_text():
    assert window_at(-3, 40) == range(11) and window_at(99, 40) == range(29, 40)
    assert window_at(5, 4) == range(4)


def test_the_window_stays_until_the_token_comes_to_its_edge():
    assert window_start(20, 40) == 15, "the token in the middle"
    assert window_start(24, 40, shown=15) == 15 and window_start(16, 40, shown=15) == 15
    assert window_start(25, 40, shown=15) == 20 and window_start(15, 40, shown=15) == 10
    assert window_start(0, 40, shown=0) == 0 and window_start(39, 40, shown=29) == 29, "nothing lies behind"
    assert window_start(3, 5, shown=0) == 0 and window_start(3, 5, shown=77) == 0


def test_the_bar_keeps_the_largest_of_its_stretches():
    long = run(2 * BAR_COLUMNS + 1)
    cells, step = lens_bar(long)
    assert step == 3 and cells.values.shape == (3, (2 * BAR_COLUMNS) // 3 + 1)
    np.testing.assert_array_equal(
        cells.values[0, 1:3], [long.layers.lens_entropy[-1, k : k + 3].max() for k in (3, 6)]
    )
    assert (
        cells.columns.names[1] == "tokens 3 to 5"
        and cells.columns.names[-1] == f"tokens {2 * BAR_COLUMNS - 2} to {2 * BAR_COLUMNS}"
    )


def test_where_a_column_settles(trace):
    ids = trace.layers.lens_top_ids.copy()
    ids[:, 3], ids[:, 4], ids[:, 5] = [1, 2, 2], [2, 1, 2], [2, 2, 2]
    settled = replace(trace, layers=replace(trace.layers, lens_top_ids=ids))
    assert [settled_layer(settled, t) for t in (0, 3, 4, 5)] == [None, 2, 4, 0]
    assert settled_layer(run(lens=None), 3) is None


def test_a_file_without_ranks_has_the_others(trace):
    old = replace(trace, layers=replace(trace.layers, lens_rank=None))
    assert list(lens_quantities_of(old)) == ["entropy", "kl"] and not lens_quantities_of(run(lens=None))
    assert set(lens_cells(old).details) == set() or lens_cells(old).details == ()
    with pytest.raises(AnalysisError, match="rank of the token"):
        lens_cells(old, "rank")
    with pytest.raises(AnalysisError, match="lens"):
        lens_bar(run(lens=None))
    with pytest.raises(ValueError, match="quantity"):
        lens_cells(trace, "x")
