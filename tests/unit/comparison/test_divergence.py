"""Divergences of two distributions: golden values, closed forms, and digits where the sides are close."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from analysis.forward.divergence import divergences
from analysis.forward.vocabulary_head import FLOOR, distribution

LN2 = log(2)
NAMES = ("kl_pq", "kl_qp", "jsd", "tv")


def apart(z_a, z_b, dtype=torch.float64):
    """Divergences of two rows of logits, or of many, as floats by name."""
    a, b = (torch.tensor(np.atleast_2d(z), dtype=dtype) for z in (z_a, z_b))
    found = divergences(*distribution(a), *distribution(b))
    return {name: getattr(found, name).double().numpy() for name in NAMES}


def dense(z_a, z_b):
    """The definitions, in float64."""
    lp, lq = (np.atleast_2d(z).astype(float) for z in (z_a, z_b))
    lp, lq = (z - np.logaddexp.reduce(z, axis=-1, keepdims=True) for z in (lp, lq))
    p, q = np.exp(lp), np.exp(lq)
    lm = np.logaddexp(lp, lq) - LN2
    return {
        "kl_pq": (p * (lp - lq)).sum(-1),
        "kl_qp": (q * (lq - lp)).sum(-1),
        "jsd": (p * (lp - lm) + q * (lq - lm)).sum(-1) / 2,
        "tv": np.abs(p - q).sum(-1) / 2,
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_golden_values(dtype):
    found = apart([2, 1, 0, -1], [1, 2, 0, 0], dtype)
    expected = {"kl_pq": 0.428595, "kl_qp": 0.414753, "jsd": 0.101206, "tv": 0.423949}
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-6), name


def bell(mean, deviation):
    """Logits of a Gaussian on tokens -80 ... 80; the sum over them is the integral up to exp(-2 pi² deviation²)."""
    return -((np.arange(-80, 81) - mean) ** 2) / (2 * deviation**2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gaussians_on_tokens_and_their_direction(dtype):
    """KL = ln(s2/s1) + (s1² + (m1 - m2)²) / 2 s2² - 1/2: almost three times as much one way as the other."""
    found = apart(bell(0, 4), bell(3, 8), dtype)
    there = log(8 / 4) + (4**2 + 3**2) / (2 * 8**2) - 1 / 2
    back = log(4 / 8) + (8**2 + 3**2) / (2 * 4**2) - 1 / 2
    assert (round(there, 4), round(back, 4)) == (0.3885, 1.0881)
    assert found["kl_pq"][0] == pytest.approx(there, rel=2e-6)
    assert found["kl_qp"][0] == pytest.approx(back, rel=2e-6)


def test_sides_without_anything_in_common():
    found = apart([0, 0, -3e4, -3e4], [-3e4, -3e4, 1, 1], torch.float32)
    assert found["jsd"][0] == pytest.approx(LN2, rel=1e-6)
    assert found["tv"][0] == pytest.approx(1, rel=1e-6)
    assert found["kl_pq"][0] == pytest.approx(-FLOOR, rel=1e-3) and np.isfinite(found["kl_qp"][0])


def test_minus_infinity_on_both_sides_counts_nothing():
    inf = -np.inf
    with_it = apart([2, 1, inf, 0, -1], [1, 2, inf, 0, 0], torch.float32)
    without = apart([2, 1, 0, -1], [1, 2, 0, 0], torch.float32)
    for name in NAMES:
        assert with_it[name][0] == pytest.approx(without[name][0], rel=1e-6), name


@pytest.mark.parametrize("scale", [1e-5, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 1.0, 3.0, 10.0, 40.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_close_and_far_sides_keep_their_digits(scale, dtype):
    """Against the definitions in float64, of the same logits, which themselves are off by 1e-13 or so."""
    draw = np.random.default_rng(0)
    z_a = draw.normal(0, 2.8, (40, 500))
    z_b = z_a + scale * draw.normal(0, 1, z_a.shape)
    found, true = apart(z_a, z_b, dtype), dense(z_a, z_b)
    near = 2e-3 if dtype is torch.float32 else 1e-6
    # A log-probability of float32 has a rounding of 1e-6; below a scale of 1e-3 that is no longer small
    near = max(near, 2e-6 / scale) if dtype is torch.float32 else near
    for name in NAMES:
        assert (found[name] > 0).all(), name
        np.testing.assert_allclose(found[name], true[name], rtol=near, atol=2e-13, err_msg=name)


def test_the_plain_sum_is_noise_where_this_is_not():
    """What the forms are for: relative noise of 1e-5 in the logits."""
    draw = np.random.default_rng(1)
    z_a = draw.normal(0, 2.8, (300, 5000)).astype(np.float32)
    z_b = (z_a * (1 + 1e-5 * draw.normal(0, 1, z_a.shape))).astype(np.float32)
    lp, lq = (torch.from_numpy(z.copy()).log_softmax(-1) for z in (z_a, z_b))
    plain = (lp.exp() * (lp - lq)).sum(-1).numpy()
    found, true = apart(z_a, z_b, torch.float32), dense(z_a, z_b)
    assert (plain < 0).sum() > 50
    for name in ("kl_pq", "kl_qp", "jsd"):
        assert (found[name] > 0).all()
        assert np.median(np.abs(found[name] / true[name] - 1)) < 0.02, name
    np.testing.assert_allclose(found["jsd"], found["kl_pq"] / 4, rtol=1e-3)  # of sides that are close


def test_a_side_with_itself_is_exactly_zero_and_exchanged_sides_are_exchanged():
    draw = np.random.default_rng(2)
    z_a, z_b = draw.normal(0, 3, (2, 20, 1000)).astype(np.float32)
    assert all((values == 0).all() for values in apart(z_a, z_a, torch.float32).values())
    there, back = apart(z_a, z_b, torch.float32), apart(z_b, z_a, torch.float32)
    for name, other in zip(NAMES, ("kl_qp", "kl_pq", "jsd", "tv"), strict=True):
        np.testing.assert_array_equal(there[name], back[other])


def test_what_one_bounds_of_the_other():
    draw = np.random.default_rng(3)
    for scale in (0.1, 1, 5):
        z = draw.normal(0, scale, (2, 200, 300))
        found = apart(z[0], z[1])
        assert (found["tv"] <= np.sqrt(found["kl_pq"] / 2)).all()  # Pinsker
        assert (found["jsd"] <= LN2 * found["tv"]).all() and (found["tv"] <= 1).all()
        assert (found["jsd"] <= (found["kl_pq"] + found["kl_qp"]) / 4).all()
