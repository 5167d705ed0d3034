"""Attention between tokens against eager attention, every family."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import analysis as an
from analysis.attention_sinks import token_attention as module
from analysis.attention_sinks.maps import head_map_block
from analysis.attention_sinks.token_attention import attention_between_tokens
from analysis.errors import AnalysisError
from analysis.forward.visibility import Visibility
from analysis.progress import silent
from tests import budget
from tests.parity.test_maps import eager_maps, letters
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA

pytestmark = pytest.mark.kernels


@pytest.mark.parametrize("family", FAMILIES + FAMILIES_EXTRA)
def test_attention_equals_eager_attention(family, load_tiny):
    model, near = load_tiny(family), budget.WIDE * budget.WEIGHT
    n = 70
    trace = an.trace(model, letters(n))
    found = attention_between_tokens(model, trace)
    dense = np.stack(eager_maps(family, trace))  # (K, H, T, T)
    assert found.mean.shape == (n, n) and found.mean.dtype == np.float32
    np.testing.assert_allclose(found.mean, dense.mean((0, 1)), atol=near, rtol=0)
    hardest = np.tril(dense.max((0, 1)), -1)
    for key in range(n):
        expected = np.sort(hardest[:, key])[::-1][:3]
        np.testing.assert_allclose(found.weight[key], expected, atol=near, rtol=0)
        for query, layer, head, weight in zip(
            found.query[key], found.layer[key], found.head[key], found.weight[key], strict=True
        ):
            if query < 0:
                assert (layer, head, weight) == (-1, -1, 0)
                continue
            assert query > key
            row = trace.attention.row_of(layer)
            assert dense[row, head, query, key] == pytest.approx(weight, abs=near)
        later = found.query[key][found.query[key] >= 0]
        assert len(set(later)) == len(later)
    assert found.query[-1].tolist() == [-1, -1, -1] and (found.query[-2] >= 0).sum() == 1


def test_blocks_of_rows_give_the_same(llama, monkeypatch):
    trace = an.trace(llama, letters(60))
    whole = attention_between_tokens(llama, trace)
    monkeypatch.setattr(module, "block_bytes", lambda device: 4 * 60 * 7)
    parts = attention_between_tokens(llama, trace)
    np.testing.assert_allclose(parts.mean, whole.mean, atol=budget.WEIGHT, rtol=0)
    np.testing.assert_allclose(parts.weight, whole.weight, atol=budget.WEIGHT, rtol=0)


def test_the_mean_is_that_of_the_run(llama):
    """Summed over queries, what a key gets is the run's own number."""
    trace = an.trace(llama, letters(50))
    found = attention_between_tokens(llama, trace)
    mean = trace.attention.received.astype(np.float64).mean((0, 1)) * np.arange(50, 0, -1)
    np.testing.assert_allclose(found.mean.sum(0, dtype=np.float64), mean, atol=50 * budget.WEIGHT, rtol=0)
    key = 20
    query, layer, head = found.query[key, 0], found.layer[key, 0], found.head[key, 0]
    drawn = head_map_block(llama, trace, int(layer), int(head))
    assert drawn.values[query, key] == pytest.approx(found.weight[key, 0], abs=budget.WEIGHT)


def test_attending_to_gives_later_queries_in_order(llama):
    found = attention_between_tokens(llama, an.trace(llama, letters(40)))
    back = found.attending_to(10, 4)
    paid = found.mean[11:, 10]
    assert back.tolist() == (np.argsort(-paid, kind="stable")[:4] + 11).tolist()
    assert found.attending_to(39).tolist() == [] and found.attending_to(38).tolist() == [39]


def test_hidden_keys_get_nothing(llama):
    hidden = np.zeros(40, bool)
    hidden[5] = True
    gone = Visibility(hidden=hidden, first_query=9)
    trace = an.trace(llama, letters(40), visibility=gone)
    found = attention_between_tokens(llama, trace, visibility=gone)
    assert (found.mean[9:, 5] == 0).all() and (found.mean[5:9, 5] > 0).all()
    assert found.query[5].max() == 8
    with pytest.raises(AnalysisError, match="hid"):
        attention_between_tokens(llama, trace)


def test_it_reports_and_stops(llama):
    trace, said = an.trace(llama, letters(30)), []
    attention_between_tokens(llama, trace, on_progress=lambda share, what: said.append((share, what)))
    assert [s for s, _ in said] == sorted(s for s, _ in said) and said[-1][0] == 1.0
    assert any("layer 1/2" in what for _, what in said)


def test_long_texts_and_other_runs_are_refused(llama, monkeypatch):
    trace = an.trace(llama, letters(30))
    monkeypatch.setattr(module, "LONGEST", 29)
    with pytest.raises(AnalysisError, match="30 tokens; attention between tokens is kept for at most 29"):
        attention_between_tokens(llama, trace)
    monkeypatch.setattr(module, "LONGEST", 30)
    with pytest.raises(AnalysisError, match="has no attention"):
        attention_between_tokens(llama, dataclasses.replace(trace, attention=None))


def test_of_equal_weights_the_earliest_queries_are_the_strongest():
    """Many queries give a sink a weight of exactly 1; which are named must not depend on the processor."""
    n = 300
    watcher = module._Watcher(n, 1, torch.device("cpu"), None, silent)
    watcher.n_maps, watcher.best[1:, 0], watcher.where[:] = 1, 1.0, 0
    watcher.best[7, 0] = 0.5
    found = watcher.result()
    assert found.query[0].tolist() == [1, 2, 3] and found.weight[0].tolist() == [1.0, 1.0, 1.0]
    assert (found.query[1:] == -1).all() and (found.weight[1:] == 0).all()
