"""The kernels that measure attention on a GPU against a dense float64 map, run by Triton's interpreter (``TRITON_INTERPRET``, set in tests/conftest.py).

Queries, keys and values are float16: the interpreter does not multiply bfloat16.
"""

from __future__ import annotations

import pytest
import torch

from analysis.forward.visibility import CAUSAL, AttentionSpan
from tests import budget

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="kernels that are compiled here are tested in tests/gpu"
)
SHAPES = {
    "plain": (2, 2, 300, 64, 64, CAUSAL, False),
    "grouped, sinks": (4, 2, 290, 64, 64, CAUSAL, True),
    "odd widths": (2, 1, 270, 80, 40, CAUSAL, False),
    "wide": (1, 1, 200, 192, 128, CAUSAL, False),
    "a window that ends in a block": (2, 2, 420, 32, 32, AttentionSpan(window=200), True),
    "a window in one block": (2, 2, 300, 32, 32, AttentionSpan(window=32), False),
    "itself alone": (2, 2, 200, 32, 32, AttentionSpan(window=1), False),
    "chunks that end in blocks": (2, 2, 700, 32, 32, AttentionSpan(chunk=130), False),
    "chunks of blocks": (2, 2, 600, 32, 32, AttentionSpan(chunk=256), False),
    "one token": (2, 1, 1, 32, 32, CAUSAL, True),
    "a few tokens": (2, 1, 5, 16, 16, AttentionSpan(window=7), True),
}


@pytest.fixture(scope="module")
def attend_fused():
    pytest.importorskip("triton", reason="Triton is not installed: it is for Linux on x86-64")
    from analysis.forward.attention_kernel import attend_fused

    return attend_fused


def dense(query, key, value, scale, span, sinks):
    """The whole map in float64."""
    heads, n, _ = query.shape
    key, value = (x.double().repeat_interleave(heads // len(x), 0) for x in (key, value))
    i, j = torch.arange(n)[:, None], torch.arange(n)[None]
    scores = (query.double() @ key.mT * scale).masked_fill(span.hides(i, j), -torch.inf)
    beside = torch.full((heads, n, 1), -torch.inf, dtype=torch.float64)
    if sinks is not None:
        beside = sinks.double()[:, None, None].expand(-1, n, 1)
    return torch.cat([scores, beside], -1).softmax(-1)[..., :-1], value


@pytest.mark.parametrize("name", SHAPES)
def test_kernels_equal_the_dense_map(name, attend_fused):
    heads, groups, n, width, value_width, span, has_sinks = SHAPES[name]
    generator = torch.Generator().manual_seed(len(name))
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    query = (3 * draw(n, heads, width)).half().transpose(0, 1)  # as a layer hands it over
    key, value = draw(n, groups, width).half().transpose(0, 1), draw(groups, n, value_width).half()
    sinks, weightings = draw(heads) if has_sinks else None, draw(n, 2)
    scale = width**-0.5
    found = attend_fused(query, key, value, scale=scale, span=span, sink_logits=sinks, weightings=weightings)
    weights, wide_value = dense(query, key, value, scale, span, sinks)
    mass = weights.sum(-1)
    share = weights / mass[..., None]
    near = lambda ours, exact, atol: torch.testing.assert_close(ours.double(), exact, atol=atol, rtol=0)  # noqa: E731
    near(found.entropy, -torch.special.xlogy(share, share).sum(-1), budget.ROW_ENTROPY)
    near(found.mass, mass, budget.WEIGHT)
    near(found.first_key, weights[..., 0], budget.WEIGHT)
    columns = weightings.double().T @ weights
    near(found.columns, columns, budget.WEIGHT * max(1.0, budget.largest(columns)))
    rounded = torch.finfo(torch.float16).eps * float(value.abs().max())  # weights to 11 bits, and the output
    near(found.output, weights @ wide_value, 2 * rounded)
    assert found.output.transpose(0, 1).is_contiguous(), "as the layer wants it: nothing is copied"
    assert float(found.row_error) < budget.ROW_SUM


def test_a_wrong_largest_score_fails_the_rows_that_are_summed_again(attend_fused, monkeypatch):
    from analysis.forward import attention_kernel

    check = attention_kernel._check_rows
    monkeypatch.setattr(
        attention_kernel, "_check_rows", lambda q, k, scale, *rest: check(q, k, 1.01 * scale, *rest)
    )
    query, key, value = torch.randn(3, 1, 200, 32, generator=torch.Generator().manual_seed(0)).half()
    ones = torch.ones(200, 1)
    found = attend_fused(4 * query, key, value, scale=0.5, span=CAUSAL, sink_logits=None, weightings=ones)
    assert float(found.row_error) > budget.PLAINLY * budget.ROW_SUM


@pytest.mark.parametrize("part", ["entropy", "first_key", "columns", "output"])
def test_kernels_that_are_wrong_in_one_part_are_not_used(part, attend_fused):
    from dataclasses import replace

    from analysis.forward.attention_way import agree

    def wrong(*states, **options):
        found = attend_fused(*states, **options)
        return replace(found, **{part: getattr(found, part) * 1.01})

    query, key, value = torch.randn(3, 1, 160, 32, generator=torch.Generator().manual_seed(0)).half()
    assert agree(attend_fused, query, key, value)
    assert not agree(wrong, query, key, value)


@pytest.mark.parametrize("family", ["llama", "gpt_oss", "mistral"])
def test_a_whole_run_by_kernels(family, attend_fused, tmp_path, monkeypatch):
    """As on a GPU, where a model of 16 bits goes this way: windows, learned sinks and the checks of the run itself."""
    import analysis as an
    from analysis.forward import attention_adapter
    from tests.tiny_models.families import save_tiny

    folder = save_tiny(family, tmp_path / family, dtype=torch.float16)
    model = an.load_model(str(folder), device="cpu", dtype="float16")
    text = "The cat sat on the mat, and the dog ran to the river in the morning; it was not there."
    blocks = an.trace(model, text)
    layers = []

    def kernels(query, key, value, **options):
        layers.append(query.dtype)
        return attend_fused(query, key, value, **options)

    monkeypatch.setattr(attention_adapter, "kernels_for", lambda *_: kernels)
    found = an.trace(model, text)
    assert layers.count(torch.float16) >= model.info.n_layers and found.attention is not None
    assert all(check.passed for check in found.checks), found.checks
    first = found.attention.entropy[0] - blocks.attention.entropy[0]
    assert abs(first).max() < budget.ROW_ENTROPY, "the first layer gets the same states by both ways"
    gap = abs(found.attention.received[0] - blocks.attention.received[0])
    assert gap.max() < budget.WEIGHT
