"""Spectra of token states: closed forms, both sides of the Gram matrix, chunks, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.results.spectra import (
    FIRST_FITTED,
    LAST_FITTED,
    alpha_req,
    as_shares,
    effective_rank,
    effective_rank_singular,
    eigenvalue_shares,
    renyi_entropy,
    turning_angles,
)


def cloud(n, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, width)) * np.arange(1, width + 1) ** -0.6 + 0.3


def dense_shares(states, *, centre=True, normalise=True):
    """By the singular values of the prepared rows: no Gram matrix at all."""
    rows = np.asarray(states, np.float64)
    if centre:
        rows = rows - rows.mean(0)
    if normalise:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    squares = np.linalg.svd(rows, compute_uv=False) ** 2
    return squares / squares.sum()


# Golden values ----------------------------------------------------------------------------------------


def test_identity_of_8():
    uncentred = eigenvalue_shares(np.eye(8), centre=False)
    np.testing.assert_allclose(uncentred, 1 / 8, atol=1e-14)
    assert renyi_entropy(uncentred) == pytest.approx(math.log(8), abs=1e-12)
    centred = eigenvalue_shares(np.eye(8))
    assert renyi_entropy(centred) == pytest.approx(math.log(7), abs=1e-12)
    assert effective_rank(centred) == pytest.approx(7, abs=1e-10)
    assert centred[-1] == 0  # centring takes one direction, and no rounding is left of it


def test_singular_values_3_1_and_a_half():
    left, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((9, 3)))
    right, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((5, 3)))
    shares = eigenvalue_shares(left @ np.diag([3, 1, 0.5]) @ right.T, centre=False, normalise=False)
    np.testing.assert_allclose(shares[:3], np.array([9, 1, 0.25]) / 10.25, atol=1e-12)
    assert effective_rank_singular(shares) == pytest.approx(2.337, abs=5e-4)
    assert effective_rank(shares) == pytest.approx(1.540, abs=5e-4)
    p = np.array([9, 1, 0.25]) / 10.25
    assert effective_rank(shares) == pytest.approx(np.exp(-(p * np.log(p)).sum()), abs=1e-9)


# Against a dense computation, on both sides -----------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (30, 30), (31, 30), (30, 31), (200, 120)])
@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("normalise", [True, False])
def test_shares_are_squared_singular_values(shape, centre, normalise):
    states = cloud(*shape)
    shares = eigenvalue_shares(states, centre=centre, normalise=normalise)
    assert shares.shape == (min(shape),) and shares.dtype == np.float64
    np.testing.assert_allclose(shares, dense_shares(states, centre=centre, normalise=normalise), atol=1e-13)
    assert (shares >= 0).all() and (np.diff(shares) <= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-12)


def test_the_smaller_side_is_decomposed(monkeypatch):
    sides = []
    decompose = np.linalg.eigvalsh
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda gram: sides.append(gram.shape) or decompose(gram))
    for shape in ((7, 50), (50, 7), (2100, 12)):
        eigenvalue_shares(cloud(*shape))
    assert sides == [(7, 7), (7, 7), (12, 12)]


def test_dual_equals_primal():
    """The same rows, padded with columns of zeros until the other side is smaller."""
    states = cloud(60, 20)
    wide = np.pad(states, [(0, 0), (0, 60)])
    primal, dual = eigenvalue_shares(states), eigenvalue_shares(wide)
    assert primal.shape == (20,) and dual.shape == (60,)
    np.testing.assert_allclose(dual[:20], primal, atol=1e-14)
    assert (dual[20:] == 0).all()
    for order in (0.25, 0.5, 1.0, 2.0, 5.0):
        assert renyi_entropy(dual, order) == pytest.approx(float(renyi_entropy(primal, order)), abs=1e-9)
    assert effective_rank_singular(dual) == pytest.approx(float(effective_rank_singular(primal)), abs=1e-9)


@pytest.mark.parametrize("n", [1023, 1024, 1025, 2048, 2049])
def test_chunks_of_rows_leave_no_seam(n):
    states = cloud(n, 6)
    np.testing.assert_allclose(eigenvalue_shares(states), dense_shares(states), atol=1e-13)
    moved = states + np.arange(n)[:, None] * 1e-3  # a chunk with a mean of its own would differ
    np.testing.assert_allclose(eigenvalue_shares(moved), dense_shares(moved), atol=1e-13)


def test_float32_and_16_bit_states_are_computed_in_float64():
    states = (cloud(300, 40) + 100).astype(np.float32)
    np.testing.assert_allclose(eigenvalue_shares(states), dense_shares(states), atol=1e-12)
    half = cloud(50, 8).astype(np.float16)
    np.testing.assert_allclose(eigenvalue_shares(half), dense_shares(half), atol=1e-12)


def test_equal_rows_leave_no_directions_of_rounding():
    """Embeddings of a text with repeated tokens: as many directions as distinct rows, less the mean."""
    states = cloud(12, 64)[np.arange(120) % 12]
    shares = eigenvalue_shares(states)
    assert shares.shape == (64,) and (shares > 0).sum() == 11
    exact = dense_shares(states)[:11]
    singular = np.sqrt(exact) / np.sqrt(exact).sum()
    expected = np.exp(-(singular * np.log(singular)).sum())
    assert effective_rank_singular(shares) == pytest.approx(expected, rel=1e-9)
    assert renyi_entropy(shares, 0.25) == pytest.approx(np.log((exact**0.25).sum()) / 0.75, abs=1e-9)


# What does not matter ---------------------------------------------------------------------------------


def test_rotation_and_scale_change_nothing():
    states = cloud(80, 30)
    rotation, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((30, 30)))
    for normalise in (True, False):
        shares = eigenvalue_shares(states, normalise=normalise)
        for same in (states @ rotation, 1000 * states, states[::-1], states + 7.0):
            np.testing.assert_allclose(eigenvalue_shares(same, normalise=normalise), shares, atol=1e-10)


def test_shift_matters_uncentred_and_length_matters_unnormalised():
    states = cloud(80, 30)
    plain = eigenvalue_shares(states, centre=False)
    assert np.abs(eigenvalue_shares(states + 7.0, centre=False) - plain).max() > 0.1
    longer = states.copy()
    longer[0] *= 50  # an enormous token
    unit = eigenvalue_shares(states, centre=False)
    np.testing.assert_allclose(eigenvalue_shares(longer, centre=False), unit, atol=1e-12)
    assert eigenvalue_shares(longer, centre=False, normalise=False)[0] > 0.9


def test_one_enormous_token_moves_the_centre():
    """Why matrix entropy collapses: all the others then lie in one direction."""
    states = cloud(200, 50)
    before = renyi_entropy(eigenvalue_shares(states))
    states[0] += 1e6
    assert renyi_entropy(eigenvalue_shares(states)) < 0.1 * before
    assert renyi_entropy(eigenvalue_shares(states[1:])) == pytest.approx(float(before), rel=0.05)


# Rows that say nothing --------------------------------------------------------------------------------


def test_zero_rows_stay_zero_and_count_for_nothing():
    states = cloud(40, 10)
    padded = np.concatenate([states, np.zeros((5, 10))])
    np.testing.assert_allclose(
        eigenvalue_shares(padded, centre=False), eigenvalue_shares(states, centre=False), atol=1e-14
    )


@pytest.mark.parametrize("states", [np.zeros((4, 6)), np.ones((1, 6)), np.full((5, 3), 2.5)])
def test_nothing_to_tell_apart_is_nan(states):
    shares = eigenvalue_shares(states)
    assert shares.shape == (min(states.shape),) and np.isnan(shares).all()
    assert np.isnan(renyi_entropy(shares)) and np.isnan(effective_rank(shares))
    assert np.isnan(effective_rank_singular(shares)) and alpha_req(np.full(200, np.nan)) is None


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_states_of_an_overflowed_model_are_nan(wrong, shape):
    states = cloud(*shape).astype(np.float32)
    states[3, 4] = wrong
    shares = eigenvalue_shares(states)
    assert shares.shape == (8,) and np.isnan(shares).all()


def test_rounding_is_not_a_share():
    np.testing.assert_array_equal(as_shares(np.array([4.0, 4.0, 1e-16, -1e-15])), [0.5, 0.5, 0, 0])
    assert np.isnan(as_shares(np.zeros(3))).all()


# Renyi entropy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [0.25, 0.5, 1.0, 1.5, 2.0, 5.0])
def test_equal_shares_have_the_same_entropy_at_every_order(order):
    shares = np.concatenate([np.full(16, 1 / 16), np.zeros(9)])
    assert renyi_entropy(shares, order) == pytest.approx(math.log(16), abs=1e-12)


def test_closed_forms():
    p = np.array([0.5, 0.25, 0.125, 0.125])
    assert renyi_entropy(p) == pytest.approx(1.75 * math.log(2))
    assert renyi_entropy(p, 2) == pytest.approx(-math.log(0.25 + 0.0625 + 2 * 0.015625))
    assert renyi_entropy(p, 0.5) == pytest.approx(2 * math.log(np.sqrt(p).sum()))
    assert renyi_entropy(p, 3) == pytest.approx(-0.5 * math.log((p**3).sum()))
    assert renyi_entropy(np.array([1.0, 0, 0])) == renyi_entropy(np.array([1.0, 0, 0]), 2) == 0
    assert renyi_entropy(p, 1e-9) == pytest.approx(math.log(4), abs=1e-6)  # counts directions
    assert renyi_entropy(p, 500) == pytest.approx(500 / 499 * math.log(2), abs=1e-6)  # the largest alone


def test_order_1_is_the_limit_and_entropy_falls_with_the_order():
    p = dense_shares(cloud(90, 40))
    one = float(renyi_entropy(p))
    for near in (1 - 1e-6, 1 + 1e-6):
        assert renyi_entropy(p, near) == pytest.approx(one, abs=1e-5)
    values = [float(renyi_entropy(p, order)) for order in (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5)]
    assert values == sorted(values, reverse=True) and values[0] < math.log(40)


def test_every_layer_at_once():
    shares = np.stack([dense_shares(cloud(30, 12, seed)) for seed in range(6)]).reshape(2, 3, 12)
    shares[1, 2] = np.nan
    together = renyi_entropy(shares, 2)
    assert together.shape == (2, 3) and np.isnan(together[1, 2])
    assert together[1, 1] == pytest.approx(float(renyi_entropy(shares[1, 1], 2)), abs=1e-14)
    assert effective_rank_singular(shares).shape == (2, 3)


@pytest.mark.parametrize("order", [0, -1, math.nan])
def test_orders_that_do_not_exist(order):
    with pytest.raises(ValueError, match="above 0"):
        renyi_entropy(np.array([0.5, 0.5]), order)


# alpha-ReQ --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.2])
def test_an_exact_power_law_is_recovered(alpha):
    shares = np.arange(1, 151) ** -alpha
    fit = alpha_req(shares / shares.sum())
    assert fit.alpha == pytest.approx(alpha, abs=1e-10)
    assert fit.r_squared == pytest.approx(1, abs=1e-10)


def test_only_ranks_11_to_100_count_and_the_early_ones_more():
    shares = np.arange(1, 151) ** -1.0
    other = shares.copy()
    other[:10] *= np.linspace(9, 1.1, 10)
    other[100:] = 1e-9
    assert alpha_req(other).alpha == pytest.approx(alpha_req(shares).alpha, abs=1e-12)
    ranks = np.arange(FIRST_FITTED, LAST_FITTED + 1)
    bent = shares.copy()
    bent[50:100] = shares[50] * (np.arange(51, 101) / 51) ** -3.0
    fit = alpha_req(bent)
    slope, level = np.polyfit(np.log(ranks), np.log(bent[10:100]), 1, w=np.sqrt(1 / ranks))
    assert fit.alpha == pytest.approx(-slope, abs=1e-9)
    rest = np.log(bent[10:100]) - slope * np.log(ranks) - level
    spread = np.log(bent[10:100]) - np.average(np.log(bent[10:100]), weights=1 / ranks)
    expected = 1 - (rest**2 / ranks).sum() / (spread**2 / ranks).sum()
    assert fit.r_squared == pytest.approx(expected, abs=1e-9)
    assert fit.r_squared < 0.99


def test_fewer_than_100_eigenvalues_are_refused():
    assert alpha_req(np.full(99, 1 / 99)) is None
    assert alpha_req(np.concatenate([np.full(99, 1 / 99), np.zeros(60)])) is None
    assert alpha_req(eigenvalue_shares(cloud(100, 200))) is None  # centring leaves 99
    assert alpha_req(eigenvalue_shares(cloud(101, 200))) is not None
    assert alpha_req(eigenvalue_shares(cloud(500, 99))) is None


def test_a_flat_spectrum_has_exponent_0():
    assert alpha_req(np.full(120, 1 / 120)).alpha == pytest.approx(0, abs=1e-12)


# Curvature --------------------------------------------------------------------------------------------


def test_a_straight_line_does_not_turn_and_a_way_back_turns_by_pi():
    line = np.arange(20)[:, None] * np.array([1.0, 2.0, -1.0])
    np.testing.assert_allclose(turning_angles(line), 0, atol=1e-7)
    there_and_back = np.array([[0.0, 0], [1, 1], [0, 0], [1, 1]])
    np.testing.assert_allclose(turning_angles(there_and_back), np.pi, atol=1e-7)


def test_a_square_path_turns_by_a_right_angle():
    square = np.array([[0.0, 0], [1, 0], [1, 3], [-1, 3], [-1, 0]])
    np.testing.assert_allclose(turning_angles(square), np.pi / 2)
    corner = np.array([[0.0, 0], [1, 0], [2, 1]])
    np.testing.assert_allclose(turning_angles(corner), np.pi / 4)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1024, 1025, 1026, 2049, 2050])
def test_angles_over_chunks(n):
    path = np.cumsum(np.random.default_rng(4).standard_normal((n, 5)), axis=0).astype(np.float32)
    angles = turning_angles(path)
    assert angles.shape == (max(n - 2, 0),) and angles.dtype == np.float64
    if n < 3:
        return
    steps = np.diff(path.astype(np.float64), axis=0)
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    np.testing.assert_allclose(np.cos(angles), (unit[1:] * unit[:-1]).sum(1), atol=1e-12)


def test_angles_need_steps():
    path = np.array([[0.0, 0], [1, 0], [1, 0], [2, 0], [3, 0], [np.nan, 0], [5, 0], [np.inf, 0], [np.inf, 0]])
    angles = turning_angles(path)
    assert np.isnan(angles).tolist() == [True, True, False, True, True, True, True]
    assert angles[2] == 0


def test_angles_do_not_depend_on_scale_shift_or_rotation():
    path = cloud(50, 8)
    rotation, _ = np.linalg.qr(np.random.default_rng(6).standard_normal((8, 8)))
    for same in (3 * path, path + 5, path @ rotation):
        np.testing.assert_allclose(turning_angles(same), turning_angles(path), atol=1e-9)
