"""Attention to listed keys against a plain loop in float64."""

from __future__ import annotations

import pytest
import torch

from analysis.kv_cache import gathered_attention as gathered
from analysis.kv_cache.gathered_attention import attend_gathered


@pytest.mark.parametrize("budget", [1, 20_000, 1 << 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plain_loop_gives_the_same(budget, dtype, monkeypatch):
    monkeypatch.setattr(gathered, "block_bytes", lambda _device: budget)
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(5, 6, 8, generator=draw, dtype=dtype)
    table = torch.randn(40, 8 + 3, generator=draw, dtype=dtype)
    places = torch.stack([torch.randperm(40, generator=draw)[:12] for _ in range(5)])
    hidden = torch.ones(6, 4, dtype=torch.bool).triu(1)
    hidden[:, 0] = False
    seen: dict[int, torch.Tensor] = {}
    found = attend_gathered(
        query, table, places, hidden, lambda batch, weights: seen.update({batch: weights.clone()})
    )
    assert found.dtype == dtype and found.shape == (5, 6, 3) and sorted(seen) == [0, 1, 2, 3, 4]
    for batch in range(5):
        for q in range(6):
            keys = [int(place) for at, place in enumerate(places[batch]) if at < 8 or not hidden[q, at - 8]]
            scores = torch.stack([query[batch, q].double() @ table[k, :8].double() for k in keys])
            weights = scores.exp() / scores.exp().sum()
            wanted = sum(w * table[k, 8:].double() for w, k in zip(weights, keys, strict=True))
            torch.testing.assert_close(found[batch, q].double(), wanted, atol=1e-5, rtol=1e-5)
            assert int((seen[batch][q] > 0).sum()) == len(keys)
