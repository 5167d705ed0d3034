"""Round trips of weights: the grid by hand, the model's own weights back to the bit, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.comparison.round_trip import (
    BLOCK,
    ROUNDINGS,
    bits_of,
    round_trip,
    rounded_weights,
)
from analysis.errors import AnalysisError, UnsupportedModelError

TEXT = "the tin in the inn is thin and the hen is in it"


def by_hand(weight: np.ndarray, bits: int) -> np.ndarray:
    """The grid, block by block, one row at a time."""
    out = weight.astype(np.float32).copy()
    steps = 2 ** (bits - 1) - 1
    for row in out.reshape(-1, out.shape[-1]):
        for at in range(0, len(row), BLOCK):
            block = row[at : at + BLOCK]
            scale = np.abs(block).max() / np.float32(steps)
            if scale > 0:
                row[at : at + BLOCK] = np.round(block / scale) * scale
    return out


@pytest.mark.parametrize("bits", [8, 6, 4])
@pytest.mark.parametrize("shape", [(3, 64), (2, 5, 40), (1, 7)])
def test_the_grid_is_that_of_its_definition(bits, shape):
    weight = np.random.default_rng(bits).normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(round_trip(torch.from_numpy(weight), bits).numpy(), by_hand(weight, bits))


def test_a_grid_by_hand():
    """Largest 7, so the scale of 4 bits is 1: halves go to the even number, signs are kept, zeros stay."""
    weight = torch.tensor([[7.0, -7.0, 0.4, 0.5, 1.5, -2.5, 0.0, 3.49]])
    assert round_trip(weight, 4).tolist() == [[7.0, -7.0, 0.0, 0.0, 2.0, -2.0, 0.0, 3.0]]
    assert round_trip(torch.zeros(1, 4), 4).tolist() == [[0.0] * 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_twice_through_a_grid_is_once(dtype):
    weight = torch.randn(4, 96, generator=torch.Generator().manual_seed(0)).to(dtype)
    once = round_trip(weight, 4)
    assert once.dtype == dtype and not torch.equal(once, weight)
    if dtype == torch.float32:
        torch.testing.assert_close(round_trip(once, 4), once, rtol=1e-6, atol=0)


def weights_of(model):
    return {name: weight.clone() for name, weight in model.model.named_parameters()}


@pytest.mark.parametrize("family", ["llama", "gpt2", "mixtral", "gemma2"])
def test_the_weights_are_rounded_while_they_run_and_then_as_they_were(load_tiny, family):
    """Held against a copy whose weights were rounded by hand, one by one."""
    from copy import deepcopy

    model = load_tiny(family)
    ids = torch.tensor([model.tokenizer(TEXT)["input_ids"]])
    copy = deepcopy(model.model)
    for layer in copy.get_submodule(model.anatomy.layers_path):
        for module in layer.modules():
            for weight in module.parameters(recurse=False):
                if weight.dim() >= 2:
                    turned = type(module).__name__ == "Conv1D"
                    own = weight.detach().numpy().T if turned else weight.detach().numpy()
                    rounded = by_hand(np.ascontiguousarray(own), 4)
                    weight.data = torch.from_numpy(np.ascontiguousarray(rounded.T if turned else rounded))
    before = weights_of(model)
    with torch.no_grad():
        plain = model.model(input_ids=ids).logits
        with rounded_weights(model, "4-bit"):
            found = model.model(input_ids=ids).logits
        again = model.model(input_ids=ids).logits
        assert torch.equal(found, copy(input_ids=ids).logits)
    assert not torch.equal(found, plain) and torch.equal(again, plain)
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.named_parameters())


def test_what_stops_in_the_middle_leaves_the_weights_as_they_were(fresh_llama):
    before = weights_of(fresh_llama)

    def stop(*_args):
        raise an.Cancelled

    handle = fresh_llama.anatomy.layers[1].register_forward_hook(stop)
    ids = torch.tensor([fresh_llama.tokenizer(TEXT)["input_ids"]])
    with pytest.raises(an.Cancelled), rounded_weights(fresh_llama, "6-bit"):
        fresh_llama.model(input_ids=ids)
    handle.remove()
    assert all(torch.equal(weight, before[name]) for name, weight in fresh_llama.model.named_parameters())


def test_fewer_bits_move_more(llama):
    a = an.trace(llama, TEXT)
    moved = []
    for rounding in ROUNDINGS:
        with rounded_weights(llama, rounding):
            b = an.trace(llama, TEXT)
        moved.append(float(np.abs(b.tokens.surprisal - a.tokens.surprisal)[1:].mean()))
    assert 0 < moved[0] < moved[1] < moved[2]


def test_a_grid_that_changes_nothing_is_refused(fresh_llama):
    for weight in fresh_llama.anatomy.layers.parameters():
        if weight.dim() >= 2:
            weight.data = torch.randint(-7, 8, weight.shape).float()
            weight.data[..., ::BLOCK] = 7.0  # whole numbers up to 7 are a grid of 4 bits
    for rounding in ("8-bit", "6-bit"):
        with rounded_weights(fresh_llama, rounding):
            pass
    with pytest.raises(AnalysisError, match="4-bit grid already"), rounded_weights(fresh_llama, "4-bit"):
        pass


@pytest.mark.embedded
def test_the_embedded_weights_are_blocks_that_a_symmetric_grid_changes(smollm2):
    for rounding in ROUNDINGS:
        with rounded_weights(smollm2, rounding):
            pass


def test_what_cannot_be_rounded_is_said(fresh_llama):
    with pytest.raises(AnalysisError, match="no grid '3-bit'"):
        bits_of("3-bit")
    weight = fresh_llama.anatomy.layers[0].mlp.up_proj
    weight.weight = torch.nn.Parameter(weight.weight.to(torch.int8), requires_grad=False)
    with (
        pytest.raises(UnsupportedModelError, match="not as plain numbers"),
        rounded_weights(fresh_llama, "4-bit"),
    ):
        pass
    fresh_llama.model.hf_device_map = {"": 0}
    with pytest.raises(UnsupportedModelError, match="spread"), rounded_weights(fresh_llama, "4-bit"):
        pass
