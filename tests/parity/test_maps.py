"""One head's map against eager attention, every family, and that it never becomes T x T."""

from __future__ import annotations

import random
import string

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import analysis as an
from analysis.attention_sinks.layer_queries import catch_layer
from analysis.attention_sinks.maps import head_map_block, layer_maps, map_of
from analysis.errors import AnalysisError
from analysis.forward.attention import block_bytes
from analysis.forward.visibility import Visibility
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, tiny_model

pytestmark = pytest.mark.kernels


def letters(n):
    """A text of n tokens: no two capitals are merged."""
    return "".join(random.Random(n).choices(string.ascii_uppercase, k=n))


def eager_maps(family, trace):
    model = tiny_model(family, attn_implementation="eager")
    ids = torch.from_numpy(trace.tokens.token_id)[None]
    with torch.inference_mode():
        return [a[0].double().numpy() for a in model(ids, output_attentions=True, use_cache=False).attentions]


def pooled(dense, seen, rows, keys, size, pool):
    """Pooling cell by cell, written without looking at the code."""
    down, across = -(-len(rows) // size), -(-len(keys) // size)
    out = np.full((-(-len(rows) // down), -(-len(keys) // across)), np.nan)
    for r, top in enumerate(rows[::down]):
        for c, left in enumerate(keys[::across]):
            cell = np.s_[top : min(top + down, rows.stop), left : min(left + across, keys.stop)]
            if seen[cell].any():
                out[r, c] = dense[cell].max() if pool == "max" else dense[cell].mean()
    return out


@pytest.mark.parametrize("family", FAMILIES + FAMILIES_EXTRA)
def test_every_map_equals_eager_attention(family, load_tiny):
    model, near = load_tiny(family), budget.WIDE * budget.WEIGHT
    for n in (40, 129):
        trace = an.trace(model, letters(n))
        assert len(trace.tokens) == n
        for layer, dense in enumerate(eager_maps(family, trace)):
            caught = catch_layer(model, trace, layer)
            window = trace.attention.window[layer] or n
            i, j = np.arange(n)[:, None], np.arange(n)
            seen = (j <= i) & (i - j < window)
            for head in range(4):
                whole = map_of(caught, trace, head)
                assert whole.values.dtype == np.float32 and not whole.pooled
                np.testing.assert_array_equal(np.isnan(whole.values), ~seen)
                np.testing.assert_allclose(np.nan_to_num(whole.values), dense[head], atol=near, rtol=0)
                assert whole.row_sum_error < budget.ROW_SUM and whole.entropy_error < budget.ROW_ENTROPY
                assert bool(whole.note) == (family == "gpt_oss")
            for pool in ("max", "mean"):
                small = map_of(caught, trace, 3, size=16, pool=pool)
                expected = pooled(dense[3], seen, range(n), range(n), 16, pool)
                np.testing.assert_allclose(small.values, expected, atol=near, rtol=0)
                assert max(small.values.shape) <= 16 and small.pooled
                assert small.row_edges[-1] == small.key_edges[-1] == n
            rows, keys = range(17, n), range(5, 36)
            block = map_of(caught, trace, 1, rows=rows, keys=keys, size=14)
            np.testing.assert_allclose(
                block.values, pooled(dense[1], seen, rows, keys, 14, "max"), atol=near, rtol=0
            )  # fmt: skip
            assert (block.row_edges[0], block.row_edges[-1]) == (17, n)
            assert (block.key_edges[0], block.key_edges[-1]) == (5, 36)


def test_one_call_gives_the_same_and_reports_progress(llama):
    trace = an.trace(llama, letters(60))
    reported = []
    one = head_map_block(llama, trace, 1, 2, on_progress=lambda share, what: reported.append((share, what)))
    np.testing.assert_array_equal(one.values, map_of(catch_layer(llama, trace, 1), trace, 2).values)
    assert [s for s, _ in reported] == sorted(s for s, _ in reported) and reported[-1][0] == 1.0
    assert any("layer 1/2" in what for _, what in reported)
    assert (one.layer, one.head, one.pool, one.note) == (1, 2, "max", "")


def test_all_maps_of_a_layer_are_those_of_its_heads(llama):
    trace = an.trace(llama, letters(60))
    part, caught = range(10, 50), catch_layer(llama, trace, 1)
    maps = layer_maps(llama, trace, 1, part=part, pool="mean", size=20)
    assert [m.head for m in maps] == list(range(trace.attention.n_heads))
    for found in maps:
        expected = map_of(caught, trace, found.head, rows=part, keys=part, size=20, pool="mean")
        np.testing.assert_array_equal(found.values, expected.values)
    assert layer_maps(llama, trace, 0)[0].values.shape == (60, 60)


def test_mean_cells_keep_the_row_sums_and_notes_say_why_others_do_not(llama):
    trace = an.trace(llama, letters(96))
    caught = catch_layer(llama, trace, 1)
    mean = map_of(caught, trace, 0, size=32, pool="mean")
    np.testing.assert_allclose(np.nansum(mean.values, 1) * 3, 1.0, atol=1e-6)
    assert "mean of 3 by 3" in mean.note
    largest = map_of(caught, trace, 0, size=32)
    assert "largest of 3 by 3" in largest.note and (np.nansum(largest.values, 1) * 3).max() > 1.5
    assert "keys 8 to 15" in map_of(caught, trace, 0, rows=range(8, 96), keys=range(8, 16)).note
    # Everything the first rows can see is drawn, so they do sum to 1.
    corner = map_of(caught, trace, 0, rows=range(16), keys=range(16))
    assert corner.note == ""
    np.testing.assert_allclose(np.nansum(corner.values, 1), 1.0, atol=1e-6)


def test_a_learned_sink_takes_its_share(load_tiny):
    model = load_tiny("gpt_oss")
    trace = an.trace(model, letters(50))
    found = head_map_block(model, trace, 1, 0)
    taken = 1 - np.nansum(found.values, 1)
    assert taken[1:].mean() == pytest.approx(trace.attention.learned_sink[1, 0], abs=1e-5)
    assert f"learned sink takes {taken.mean():.3g}" in found.note


def test_a_map_shows_what_the_run_hid(llama):
    hidden = np.zeros(50, bool)
    hidden[[0, 9]] = True
    gone = Visibility(hidden=hidden, first_query=12, window=20, n_sink=2)
    trace = an.trace(llama, letters(50), visibility=gone)
    found = head_map_block(llama, trace, 1, 2, visibility=gone)
    i, j = np.arange(50)[:, None], np.arange(50)
    seen = (j <= i) & ~(hidden[None] & (i >= 12) & (i != j)) & ~((i - j >= 20) & (j >= 2))
    np.testing.assert_array_equal(np.isnan(found.values), ~seen)
    assert found.entropy_error < budget.ROW_ENTROPY and found.row_sum_error < budget.ROW_SUM
    with pytest.raises(AnalysisError, match="hid"):
        head_map_block(llama, trace, 1, 2)
    with pytest.raises(AnalysisError, match="hid"):
        head_map_block(llama, an.trace(llama, letters(50)), 1, 2, visibility=gone)


class Largest(TorchDispatchMode):
    """The largest tensor any operation makes."""

    numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_a_long_map_never_is_square(llama):
    n = 2000
    trace = an.trace(llama, letters(n))
    caught = catch_layer(llama, trace, 1)
    with Largest() as largest:
        found = map_of(caught, trace, 3, size=128)
    assert found.values.shape == (125, 125) and found.row_edges[1] == 16
    assert 2000 < largest.numel < n * n / 3
    with Largest() as largest:
        head_map_block(llama, trace, 1, 3, size=128, pool="mean")
    assert (
        largest.numel <= 2 * block_bytes(torch.device("cpu")) // 4 < n * n
    )  # the blocks of the layers before, of fixed size
    # A block far down at full resolution, cell by cell the same weights.
    rows, keys = range(1900, 1980), range(1850, 1950)
    block = map_of(caught, trace, 3, rows=rows, keys=keys)
    assert block.values.shape == (80, 100)
    inside = found.values[1904 // 16 : 1968 // 16, 1856 // 16 : 1936 // 16]
    cells = np.nan_to_num(block.values)[4:68, 6:86].reshape(4, 16, 5, 16).max((1, 3))
    np.testing.assert_allclose(np.nan_to_num(inside), cells, atol=1e-7)


def test_the_models_own_attention_comes_back(llama):
    trace = an.trace(llama, letters(30))
    before = llama.model.config._attn_implementation
    head_map_block(llama, trace, 0, 0)
    assert llama.model.config._attn_implementation == before

    def stop(share, what):
        raise an.Cancelled

    with pytest.raises(an.Cancelled):
        head_map_block(llama, trace, 1, 0, on_progress=stop)
    assert llama.model.config._attn_implementation == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"layer": 2}, {"layer": -1}, {"head": 4}, {"head": -1}, {"size": 0}, {"pool": "median"},
        {"rows": range(5, 5)}, {"rows": range(31)}, {"keys": range(0, 9, 2)}, {"keys": range(-1, 3)},
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused(llama, wrong):
    trace = an.trace(llama, letters(30))
    with pytest.raises(ValueError, match=r"go from|stretch|size"):
        head_map_block(llama, trace, **({"layer": 0, "head": 0} | wrong))


def test_a_run_of_another_model_or_without_attention_is_refused(llama, load_tiny):
    trace = an.trace(llama, letters(30))
    with pytest.raises(AnalysisError, match="not with the loaded"):
        head_map_block(load_tiny("qwen3"), trace, 0, 0)
    without = an.trace(llama, letters(30), attention=False)
    with pytest.raises(AnalysisError, match="made without it"):
        head_map_block(llama, without, 0, 0)
