"""Spectra against what two published libraries say of the same matrices (tests/golden)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.results.spectra import alpha_req, effective_rank, eigenvalue_shares, renyi_entropy
from tests.golden.make_geometry import ORDERS, OUT, matrices, prepared

GOLDEN = json.loads(OUT.read_text())["matrices"]
MATRICES = matrices()
each_matrix = pytest.mark.parametrize("name", sorted(MATRICES))


def test_the_matrices_are_those_the_libraries_saw():
    assert sorted(GOLDEN) == sorted(MATRICES)
    for name, z in MATRICES.items():
        assert list(z.shape) == GOLDEN[name]["shape"]
        assert z.sum() == pytest.approx(GOLDEN[name]["sum"], rel=1e-12)
        assert (z**2).sum() == pytest.approx(GOLDEN[name]["sum_of_squares"], rel=1e-12)


@each_matrix
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("centred", [True, False])
def test_matrix_entropy_is_that_of_representation_itl(name, order, centred):
    ours = float(renyi_entropy(eigenvalue_shares(MATRICES[name], centre=centred), order))
    said = GOLDEN[name]["matrix_entropy"]["centred" if centred else "not centred"]
    for side in ("tokens", "dimensions"):
        assert ours == pytest.approx(said[side]["plain"][str(order)], abs=1e-6), side


@each_matrix
def test_clamping_the_gram_matrix_is_another_number(name):
    """The published curves clamp it at 0 first; then both sides differ, and neither is ours."""
    said = GOLDEN[name]["matrix_entropy"]["centred"]
    ours = float(renyi_entropy(eigenvalue_shares(MATRICES[name])))
    clamped = [said[side]["clamped"]["1.0"] for side in ("tokens", "dimensions")]
    assert all(abs(value - ours) > 0.05 for value in clamped) and abs(clamped[0] - clamped[1]) > 0.05
    rows = prepared(MATRICES[name], True)
    values = np.linalg.eigvalsh((rows @ rows.T).clip(min=0))
    values = values[values > 0] / values[values > 0].sum()
    assert -(values * np.log(values)).sum() == pytest.approx(clamped[0], abs=1e-6)


@each_matrix
def test_spectrum_and_rank_are_those_of_reptrix(name):
    said = GOLDEN[name]["reptrix"]
    shares = eigenvalue_shares(MATRICES[name], normalise=False)
    np.testing.assert_allclose(shares, said["explained_variance_ratio"][: len(shares)], atol=1e-12)
    # The library adds 1e-7 to every share and does not normalise again; the rest is ours.
    added = shares + 1e-7
    assert np.exp(-(added * np.log(added)).sum()) == pytest.approx(said["rankme"], abs=1e-6)
    assert effective_rank(shares) == pytest.approx(said["rankme"], rel=1e-3)


@each_matrix
def test_alpha_req_is_that_of_reptrix(name):
    said = GOLDEN[name]["reptrix"]["alpha_req"]
    fit = alpha_req(eigenvalue_shares(MATRICES[name], normalise=False))
    if said is None:  # 40 rows
        assert fit is None
        return
    assert fit is not None
    assert fit.alpha == pytest.approx(said["alpha"], abs=1e-6)
