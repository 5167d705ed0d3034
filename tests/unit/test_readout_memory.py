"""The vocabulary head of a long text stays small: never T x V."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from analysis.forward.vocabulary_head import BLOCK_BYTES, read_rows, rows_per_block
from analysis.models.anatomy import Head
from benchmarks.head_memory import LIMIT_MIB, SHAPE, measure
from tests.budget import rounding


@pytest.mark.slow
@pytest.mark.embedded
def test_4096_rows_stay_below_the_limit():
    """SmolLM2's head on a long text: dense float32 logits alone are 768 MiB."""
    [cost] = measure(["streamed"], 1)["streamed"]
    mib, entropy = cost.extra / 2**20, cost.said
    assert LIMIT_MIB == 300 and SHAPE == (4096, 49152, 576)
    assert 20 < mib < LIMIT_MIB
    # Logits of standard deviation 2.8 over 49,152 ids: close to ln V - 2.8 ** 2 / 2
    assert entropy == pytest.approx(math.log(49152) - 2.8**2 / 2, abs=0.2)


def test_a_block_holds_what_it_may():
    assert rows_per_block(Head(torch.zeros(49152, 2), None, 1.0, None)) == BLOCK_BYTES // (4 * 49152) == 170
    assert rows_per_block(Head(torch.zeros(1 << 24, 1), None, 1.0, None)) == 1  # one row at least


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("part_rows", [1, 2, 64])
@pytest.mark.parametrize("block_rows", [1, 3, 7, 64])
def test_blocks_and_parts_change_nothing(monkeypatch, block_rows, part_rows):
    """Any size of block and of its parts gives the numbers of one: the cuts fall between rows."""
    from analysis.forward import vocabulary_head as readout

    generator = torch.Generator().manual_seed(0)
    head = Head(torch.randn(500, 16, generator=generator), None, 1.0, None)
    states = torch.randn(40, 16, generator=generator)
    targets = torch.randint(500, (39,), generator=generator)
    whole = read_rows(head, states, targets, 5, lambda _n: None)
    counted = []
    monkeypatch.setattr(readout, "rows_per_block", lambda _head: block_rows)
    monkeypatch.setattr(readout, "rows_per_part", lambda _size, _device: part_rows)
    cut = read_rows(head, states, targets, 5, counted.append)
    assert sum(counted) == 40 and max(counted) <= block_rows
    for name in ("entropy", "varentropy", "max_prob", "surprisal", "top_logprobs"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), atol=2e-5, rtol=1e-5)
    np.testing.assert_array_equal(cut.rank, whole.rank)
    np.testing.assert_array_equal(cut.top_ids, whole.top_ids)
    assert np.isnan(cut.surprisal[-1]) and cut.rank[-1] == 0  # the last row has no target
    logits = (states.double() @ head.weight.double().T).log_softmax(-1)
    np.testing.assert_allclose(whole.entropy, -(logits.exp() * logits).sum(-1).numpy(), atol=2e-5)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("part_rows", [1, 2, 64])
def test_blocks_and_parts_change_no_lens(monkeypatch, part_rows):
    from analysis.forward import vocabulary_head as readout

    generator = torch.Generator().manual_seed(3)
    head = Head(torch.randn(500, 16, generator=generator), None, 1.0, None)
    anatomy = SimpleNamespace(head=head, final=lambda states: states)
    states, last = torch.randn(2, 40, 16, generator=generator), torch.randn(40, 16, generator=generator)
    targets = torch.randint(500, (39,), generator=generator)
    monkeypatch.setattr(readout, "rows_per_block", lambda _head: 7)
    monkeypatch.setattr(readout, "rows_per_part", lambda _size, _device: part_rows)
    entropy, kl, top, rank = readout.read_lens(anatomy, [*states], last, targets, lambda _n: None)
    lens, output = (((x.double() @ head.weight.double().T).log_softmax(-1)) for x in (states, last))
    near = rounding(lens, output)
    np.testing.assert_allclose(entropy, -(lens.exp() * lens).sum(-1), atol=near, rtol=0)
    np.testing.assert_allclose(kl, (output.exp() * (output - lens)).sum(-1), atol=2 * near, rtol=0)
    np.testing.assert_array_equal(top, lens.argmax(-1))
    of_target = lens[:, :-1].gather(-1, targets[None, :, None].expand(2, -1, -1))
    np.testing.assert_array_equal(rank[:, :-1], 1 + (lens[:, :-1] > of_target).sum(-1))
    assert (rank[:, -1] == 0).all()  # the last row has no target


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_small_and_large_variances_keep_their_digits(scale):
    """A difference of squares would lose the varentropy of a nearly uniform row."""
    generator = torch.Generator().manual_seed(1)
    head = Head(torch.randn(2000, 16, generator=generator) * scale / 4, None, 1.0, None)
    states = torch.randn(50, 16, generator=generator) + 0.0
    rows = read_rows(head, states, None, 1, lambda _n: None)
    z = states.double() @ head.weight.double().T
    lp = z.log_softmax(-1)
    entropy = -(lp.exp() * lp).sum(-1, keepdim=True)
    varentropy = (lp.exp() * (lp + entropy) ** 2).sum(-1).numpy()
    np.testing.assert_allclose(rows.varentropy, varentropy, rtol=2e-3, atol=1e-7)


def test_a_16_bit_head_is_used_in_float32_without_a_copy_of_it():
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(70_000, 512, generator=generator).bfloat16()  # more than one block of rows
    states = torch.randn(3, 512, generator=generator).bfloat16()
    logits = Head(weight, None, 1.0, None).logits(states)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, states.float() @ weight.float().T, atol=1e-3, rtol=1e-5)


def test_no_block_waits_for_the_device(monkeypatch):
    """What blocks give stays where it is and comes over once, however many blocks there are."""
    from analysis.forward import vocabulary_head as readout

    asked = []
    for name in ("cpu", "numpy", "item", "tolist", "__float__", "__bool__", "__int__"):
        real = getattr(torch.Tensor, name)

        def counted(x, *more, _real=real, _name=name):
            asked.append(_name)
            return _real(x, *more)

        monkeypatch.setattr(torch.Tensor, name, counted)
    head = Head(torch.randn(50, 16), None, 1.0, None)
    anatomy = SimpleNamespace(head=head, final=lambda states: states)
    states = torch.randn(40, 16)
    counts = []
    for rows, part in ((40, 40), (3, 3), (3, 1)):
        monkeypatch.setattr(readout, "rows_per_block", lambda _head, rows=rows: rows)
        monkeypatch.setattr(readout, "rows_per_part", lambda _size, _device, part=part: part)
        asked.clear()
        read_rows(head, states, torch.arange(39), 5, lambda _n: None)
        readout.read_lens(anatomy, [states, 2 * states], states, torch.arange(39), lambda _n: None)
        counts.append(asked.copy())
    assert counts[0] == counts[1] == counts[2] and counts[0].count("cpu") == 7 + 4
