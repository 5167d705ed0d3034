"""Float32 spectra against float64 eigenvalues, within the error budget of ``tests/budget.py``."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch

import analysis as an
from analysis.forward import device_spectra, single_spectra
from analysis.forward.device_spectra import DeviceSpectra, mean_angles
from analysis.forward.layer_spectra import KINDS
from analysis.forward.single_spectra import shares_of, shares_with_and_without_first
from analysis.models.body import first_tensor, hooks, run_body
from analysis.results.layers import SPECTRUM_FIELDS
from analysis.results.spectra import (
    alpha_req,
    effective_rank,
    effective_rank_singular,
    eigenvalue_shares,
    renyi_entropy,
    turning_angles,
)
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA

pytestmark = pytest.mark.kernels
PLAY = files("analysis.entropy_collapse.labs.backcopy") / "text.txt"


def reference(states):
    """Shares by float64 products of whole rows: no repeated row, chunk or correction is treated apart."""
    rows = states.astype(np.float64)
    rows = rows - rows.mean(0)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norm > 0, norm, 1)
    values = np.linalg.eigvalsh(rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows)[::-1]
    values = np.where(values > len(values) * np.finfo(float).eps * values[0], values, 0)
    return values / values.sum()


def assert_within_budget(ours, states, where=""):
    theirs = reference(states)
    assert ours.shape == theirs.shape and ours.dtype == np.float64, where
    assert (np.diff(ours) <= 0).all() and ours[-1] >= 0 and ours.sum() == pytest.approx(1, abs=1e-12), where
    assert renyi_entropy(ours) == pytest.approx(renyi_entropy(theirs), abs=budget.MATRIX_ENTROPY), where
    assert effective_rank(ours) == pytest.approx(effective_rank(theirs), rel=budget.EFFECTIVE_RANK), where
    rank = effective_rank_singular(theirs)
    assert effective_rank_singular(ours) == pytest.approx(rank, rel=budget.SINGULAR_RANK), where
    fit, expected = alpha_req(ours), alpha_req(theirs)
    assert (fit is None) == (expected is None), where
    if fit is not None:
        assert fit.alpha == pytest.approx(expected.alpha, abs=budget.POWER_LAW), where
        assert fit.r_squared == pytest.approx(expected.r_squared, abs=budget.POWER_LAW), where


@pytest.fixture
def only_single(monkeypatch):
    """Fail where float64 decides."""

    def refuse(_states):
        raise AssertionError("float64 was asked")

    monkeypatch.setattr(single_spectra, "eigenvalue_shares", refuse)


def states_of(model, n_tokens):
    """States between all layers at so many tokens, float32 arrays."""
    found = []
    ids = model.tokenizer(PLAY.read_text()[: 8 * n_tokens])["input_ids"][:n_tokens]
    assert len(ids) == n_tokens
    with model.lock, torch.inference_mode(), hooks() as handles:
        layers = model.anatomy.layers

        def take(_module, args, kwargs):
            found.append((args[0] if args else kwargs["hidden_states"])[0].numpy())

        handles.append(layers[0].register_forward_pre_hook(take, with_kwargs=True))
        for layer in layers:
            handles.append(
                layer.register_forward_hook(lambda _m, _a, out: found.append(first_tensor(out)[0].numpy()))
            )
        run_body(model.model, torch.tensor([ids]))
    return [states.copy() for states in found]


@pytest.mark.embedded
@pytest.mark.parametrize("n_tokens", [17, 512, 2048])
def test_every_layer_of_smollm2(smollm2, n_tokens, monkeypatch):
    monkeypatch.setattr(single_spectra, "SINGLE_FROM", 2)
    doubles = []

    def in_double(states):
        doubles.append(len(states))
        return eigenvalue_shares(states)

    monkeypatch.setattr(single_spectra, "eigenvalue_shares", in_double)
    layers = states_of(smollm2, n_tokens)
    assert len(layers) == 31
    for number, states in enumerate(layers):
        for first, ours in enumerate(shares_with_and_without_first(states)):
            assert_within_budget(ours, states[first:], f"layer {number}, from token {first}")
    assert len(doubles) <= 8  # the embeddings, whose rows repeat, and the layers right after


@pytest.mark.parametrize("family", FAMILIES + FAMILIES_EXTRA)
def test_every_family(family, load_tiny, monkeypatch):
    """Runs in float32 throughout against runs in float64, which ``test_spectra.py`` holds against dense ones."""
    model, text = (
        load_tiny(family),
        "The cat sat on the mat, and the dog ran to the river in the morning; 12 + 30.",
    )
    double = an.trace(model, text, spectra=KINDS)
    monkeypatch.setattr(single_spectra, "SINGLE_FROM", 2)
    single = an.trace(model, text, spectra=KINDS)
    for field in SPECTRUM_FIELDS.values():
        ours, theirs = getattr(single.layers, field), getattr(double.layers, field)
        np.testing.assert_allclose(
            renyi_entropy(ours), renyi_entropy(theirs), rtol=0, atol=budget.MATRIX_ENTROPY, err_msg=field
        )
        np.testing.assert_allclose(
            effective_rank_singular(ours),
            effective_rank_singular(theirs),
            budget.SINGULAR_RANK,
            err_msg=field,
        )


def cloud(n, width, decay=0.5, seed=0):
    """Rows with a power law of directions."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, width)) * np.arange(1, width + 1) ** -decay).astype(np.float32)


@pytest.mark.parametrize("shape", [(260, 400), (390, 400), (401, 400), (700, 300), (2500, 256)])
@pytest.mark.parametrize("massive", [0.0, 30.0, 1e4])
def test_a_massive_first_token(shape, massive, request):
    if massive < 100:
        request.getfixturevalue("only_single")
    states = cloud(*shape) + 0.5
    states[0, 7] += massive
    for first, ours in enumerate(shares_with_and_without_first(states)):
        assert_within_budget(ours, states[first:], f"from token {first}")


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 1e-3, 1e-5])
def test_nearly_one_direction(apart):
    """All rows point along one line but for a small part; the smaller, the more float64 decides."""
    rng = np.random.default_rng(1)
    along = rng.standard_normal((300, 1)) * 5 @ rng.standard_normal((1, 400))
    states = (along + apart * rng.standard_normal((300, 400))).astype(np.float32)
    for first, ours in enumerate(shares_with_and_without_first(states)):
        assert_within_budget(ours, states[first:], f"from token {first}")


def test_equal_rows_are_exactly_no_direction():
    states = cloud(40, 400)[np.random.default_rng(2).integers(0, 40, 300)]
    for first, ours in enumerate(shares_with_and_without_first(states)):
        assert_within_budget(ours, states[first:])
        assert np.count_nonzero(ours) == 39 and len(ours) == 300 - first


def test_a_row_at_the_mean_is_not_corrected():
    """Token 0 moves the mean onto a row; corrected, that row would be all rounding."""
    states = cloud(300, 400).astype(np.float64)
    states[1:] -= states[1:].mean(0)
    states[0] = 300 * states[1]
    states = states.astype(np.float32)
    without, whole = single_spectra._by_tokens(states)
    assert whole is None and without.shape == (299, 299)
    for first, ours in enumerate(shares_with_and_without_first(states)):
        assert_within_budget(ours, states[first:], f"from token {first}")


@pytest.mark.parametrize("n", [2, 3])
def test_few_and_constant_rows(n, monkeypatch):
    monkeypatch.setattr(single_spectra, "SINGLE_FROM", 1)
    whole, without = shares_with_and_without_first(cloud(n, 50))
    np.testing.assert_allclose(whole[:1] if n == 2 else whole.sum(), 1, atol=1e-6)
    assert whole.shape == (n,) and without.shape == (n - 1,)
    assert np.isnan(without).all() if n == 2 else without == pytest.approx([1, 0], abs=1e-6)
    for shape in ((n, 50), (300, 400), (400, 300)):
        equal = np.full(shape, 0.1, np.float32)
        assert all(np.isnan(shares).all() for shares in shares_with_and_without_first(equal))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_not_finite(value):
    states = cloud(300, 400)
    states[0, 3] = value
    whole, without = shares_with_and_without_first(states)
    assert np.isnan(whole).all()
    assert_within_budget(without, states[1:])
    states[5, 3] = value
    assert all(np.isnan(shares).all() for shares in shares_with_and_without_first(states))


def test_unresolved_eigenvalues_are_for_float64():
    """Eigenvalues of 300 rows in 30 directions are 0 but for rounding, and their roots would count."""
    states = cloud(300, 30) @ np.random.default_rng(3).standard_normal((30, 400)).astype(np.float32)
    for first, ours in enumerate(shares_with_and_without_first(states)):
        assert_within_budget(ours, states[first:])
    spacing = 2.0**-23
    rising = np.array([-spacing, *[0.5 * spacing] * 4, 0.25, 1.0], np.float32)
    assert shares_of(rising, 7) is None  # 5 roots of a spacing at 1.5: half of them 5.8e-4
    np.testing.assert_allclose(shares_of(rising, 2), [0.8, 0.2, 0, 0, 0, 0, 0])
    few = shares_of(rising, 6)  # 4 of them: 4.6e-4
    np.testing.assert_allclose(few, np.array([1, 0.25, *[0.5 * spacing] * 4, 0]) / (1.25 + 2 * spacing))
    assert shares_of(np.zeros(3, np.float32), 2) is None


# On a device --------------------------------------------------------------------------------------------


def collected():
    found = {}
    return DeviceSpectra(
        lambda kind, layer, shares, bend: found.__setitem__((kind, layer), (shares, bend))
    ), found


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (40, 90), (90, 40), (2, 8)])
@pytest.mark.parametrize("massive", [0.0, 1e4])
def test_the_device_path(shape, massive):
    """It runs on any device; here on the CPU."""
    states = torch.from_numpy(cloud(*shape) + 3)
    states[0, 5] += massive
    spectra, found = collected()
    spectra.take("states", 4, states)
    spectra.take("key", 1, states * 2)
    broken = states.clone()
    broken[1, 1] = torch.inf
    spectra.take("states", 5, broken)
    states.zero_()  # what was handed over may be written over
    spectra.settle()
    states = torch.from_numpy(cloud(*shape) + 3)
    states[0, 5] += massive
    for key in (("states", 4), ("key", 1)):
        for first, ours in enumerate(found[key][0]):
            if shape[0] - first == 1:
                assert np.isnan(ours).all()
            else:
                assert_within_budget(ours, states.numpy()[first:], f"{key} from token {first}")
    angles = turning_angles(states.numpy())
    if len(angles) > 1:
        np.testing.assert_allclose(found["states", 4][1], [angles.mean(), angles[1:].mean()], atol=1e-6)
    assert found["key", 1][1] is None
    assert (
        all(np.isnan(ours).all() for ours in found["states", 5][0]) and np.isnan(found["states", 5][1]).all()
    )


def test_angles_in_float32():
    """Straight on, back, a right angle, and a step of no length, which has none."""
    path = torch.tensor([[0, 0], [1, 0], [2, 0], [1, 0], [1, 5], [1, 5], [2, 5]], dtype=torch.float32)
    assert mean_angles(path).tolist() == pytest.approx(
        [(0 + np.pi + np.pi / 2) / 3, (np.pi + np.pi / 2) / 2], abs=1e-6
    )
    assert torch.isnan(mean_angles(path[:2])).all()


def test_nothing_comes_over_before_the_store_is_full(monkeypatch):
    """Taking a layer neither moves nor asks for a value: the pass does not wait for the device."""
    states, asked = torch.from_numpy(cloud(60, 40)), []
    for name in ("cpu", "numpy", "item", "tolist", "__float__", "__bool__", "__int__"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda x, *a, _real=real, _name=name: (asked.append(_name), _real(x, *a))[1]
        )
    spectra, found = collected()
    for layer in range(6):
        spectra.take("states", layer, states)
    assert asked == [] and found == {}
    spectra.settle()
    assert len(found) == 6 and asked.count("cpu") == 5  # eigenvalues and what is finite, twice; curvatures
    monkeypatch.setattr(device_spectra, "STORE_BYTES", 3 * (60 * 40 * 4 + 8 * 40**2))
    found.clear()
    for layer in range(5):
        spectra.take("states", layer, states)
    assert len(found) == 4


def test_no_float64_on_the_device(monkeypatch):
    seen = []
    real = torch.linalg.eigvalsh
    monkeypatch.setattr(torch.linalg, "eigvalsh", lambda x: (seen.append(x.dtype), real(x))[1])
    spectra, _ = collected()
    spectra.take("states", 0, torch.from_numpy(cloud(60, 40)).bfloat16())
    spectra.settle()
    assert seen == [torch.float32, torch.float32]
