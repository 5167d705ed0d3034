"""Measured attention against a dense float64 map, every family, on the same queries and keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.forward import attention
from analysis.forward import recorder as recorder_module
from analysis.forward.attention import attend
from analysis.forward.attention_adapter import attend_call, attending
from analysis.forward.recorder import Recorder
from analysis.forward.visibility import CAUSAL, AttentionSpan, Visibility
from analysis.models.anatomy import find_anatomy
from tests import budget
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, tiny_model

ALL = FAMILIES + FAMILIES_EXTRA
LENGTHS = (1, 2, 17, 129, 640)


def recording(model, recorder):
    return attending(model, find_anatomy(model), recorder)


def all_layers(model):
    return Recorder(tuple(range(model.config.num_hidden_layers)))


def dense(query, key, value, *, scale, softcap=None, span=CAUSAL, sink_logits=None, hide=None):
    """The whole map in float64, written without looking at the streamed code."""
    heads, n, _ = query.shape
    repeat = heads // key.shape[0]
    key, value = (x.double().repeat_interleave(repeat, 0) for x in (key, value))
    scores = query.double() @ key.transpose(1, 2) * scale
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    i, j = torch.arange(n)[:, None], torch.arange(n)
    seen = j <= i
    if span.window is not None:
        seen &= i - j < span.window
    if span.chunk is not None:
        seen &= i // span.chunk == j // span.chunk
    seen = seen[None] & ~hide if hide is not None else seen
    scores = scores.masked_fill(~seen, -torch.inf)
    if sink_logits is not None:
        column = sink_logits.double()[:, None, None].expand(heads, n, 1)
        weights = torch.cat([scores, column], -1).softmax(-1)[..., :-1]
    else:
        weights = scores.softmax(-1)
    return weights, weights @ value


def row_entropy(weights):
    share = weights / weights.sum(-1, keepdim=True)
    return -torch.special.xlogy(share, share).sum(-1)


@pytest.fixture
def both_ways(monkeypatch):
    """Record, inside a real model's pass, our numbers and the dense ones for identical inputs."""
    pairs = []

    def compare(call, *more, **options):
        ours = attend_call(call, *more, **options)
        asked = {name: getattr(call, name) for name in ("scale", "softcap", "span", "sink_logits")}
        pairs.append((ours, dense(call.query[0], call.key[0], call.value[0], **asked)))
        return ours

    monkeypatch.setattr(recorder_module, "attend_call", compare)
    return pairs


@pytest.mark.parametrize("family", ALL)
def test_every_statistic_equals_the_dense_map(family, both_ways):
    model = tiny_model(family)
    for n in LENGTHS:
        both_ways.clear()
        ids = torch.randint(0, 290, (1, n), generator=torch.Generator().manual_seed(n))
        with torch.inference_mode():
            plain = model(ids, use_cache=False).logits
            recorder = all_layers(model)
            with recording(model, recorder):
                measured = model(ids, use_cache=False).logits
        assert (measured - plain).abs().max() < budget.WIDE * budget.rounding(plain)
        kept = recorder.result()
        assert len(both_ways) == kept.n_layers == model.config.num_hidden_layers
        for layer, (ours, (weights, output)) in enumerate(both_ways):
            window = kept.window[layer] or n
            seen_by = np.minimum(n - np.arange(n), window)
            assert (ours.output - output).abs().max() < budget.STATES * max(1.0, budget.largest(output))
            assert (ours.entropy - row_entropy(weights)).abs().max() < budget.ROW_ENTROPY
            received = weights.sum(1).numpy() / seen_by
            np.testing.assert_allclose(kept.received[layer], received, atol=budget.WEIGHT, rtol=0)
            queries = slice(1, None) if n > 1 else slice(0, None)
            mass = weights[:, queries, 0].mean(-1).numpy()
            np.testing.assert_allclose(kept.sink_mass[layer], mass, atol=budget.WEIGHT, rtol=0)
            i, j = torch.arange(n)[:, None], torch.arange(n)
            back = (weights * (i - j)).sum((1, 2)) / weights[:, queries].sum((1, 2))
            np.testing.assert_allclose(kept.distance[layer], back.numpy(), atol=1e-4 * max(1, n / 64))
            if kept.learned_sink is not None:
                lost = 1 - weights[:, queries].sum(-1).mean(-1)
                np.testing.assert_allclose(kept.learned_sink[layer], lost.numpy(), atol=budget.WEIGHT, rtol=0)
            assert (kept.learned_sink is not None) == (family == "gpt_oss")
        assert recorder.row_error < budget.ROW_SUM


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss", "smollm3"])
def test_bfloat16_inputs_are_reduced_in_float32(family, both_ways):
    """The error budget of 16-bit models: on the same rounded queries and keys, statistics are as
    exact as in float32; only the output carries the 8 bits of its precision."""
    model = tiny_model(family, dtype=torch.bfloat16)
    ids = torch.randint(0, 290, (1, 300), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode(), recording(model, all_layers(model)):
        model(ids, use_cache=False)
    assert len(both_ways) == model.config.num_hidden_layers
    for ours, (weights, output) in both_ways:
        assert ours.output.dtype == torch.bfloat16
        assert (ours.entropy - row_entropy(weights)).abs().max() < budget.ROW_ENTROPY
        np.testing.assert_allclose(ours.columns[:, 0], weights.sum(1), rtol=budget.STATES, atol=budget.WEIGHT)
        largest = output.abs().max()
        assert (ours.output.double() - output).abs().max() <= largest * 2**-8


def test_windows_were_crossed():
    crossed = set()
    for family in ALL:
        model = tiny_model(family)
        recorder = all_layers(model)
        with torch.inference_mode(), recording(model, recorder):
            model(torch.arange(40)[None], use_cache=False)
        crossed |= {family for window in recorder.result().window if 0 < window < 40}
    assert crossed == {"mistral", "gemma2", "gemma3", "smollm3", "gpt_oss"}


@pytest.mark.parametrize(
    "span", [AttentionSpan(window=37), AttentionSpan(chunk=37), AttentionSpan(chunk=300)]
)
def test_windows_and_chunks_hide_what_they_should(span):
    generator = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(h, 300, 16, generator=generator) for h in (4, 2, 2))
    recorder = Recorder((0,))
    attended = attend(query, key, value, scale=0.25, span=span)
    recorder.take(0, attended, key, value, span, False)
    kept = recorder.result()
    weights, output = dense(query, key, value, scale=0.25, span=span)
    assert (attended.output - output).abs().max() < 1e-5
    assert (attended.entropy - row_entropy(weights)).abs().max() < 1e-5
    seen = (weights > 0).double()
    np.testing.assert_array_equal(kept.visible()[0], seen[0].sum(-1))
    np.testing.assert_array_equal(kept.seen_by()[0], seen[0].sum(0))
    np.testing.assert_allclose(kept.received[0], (weights.sum(1) / seen.sum(1)).numpy(), atol=1e-6)
    uniform = (seen / seen.sum(-1, keepdim=True))[0, 1:, 0].mean()
    assert kept.sink_baseline[0] == pytest.approx(float(uniform), abs=1e-7)


def test_any_number_of_weightings_comes_out_of_one_pass():
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(h, 300, 16, generator=generator) for h in (4, 2, 2))
    steps = torch.arange(300.0)
    weightings = torch.stack(
        [torch.ones(300), 0.9 ** (299 - steps), (steps >= 268).float(), (steps == 299).float()], 1
    )
    ours = attend(query, key, value, scale=0.25, weightings=weightings)
    weights, _ = dense(query, key, value, scale=0.25)
    expected = weightings.double().T @ weights
    torch.testing.assert_close(ours.columns, expected, atol=budget.WEIGHT, rtol=budget.STATES)


OPTIONS = {
    "plain": {},
    "window": {"span": AttentionSpan(window=150)},
    "chunk": {"span": AttentionSpan(chunk=130)},
    "soft cap": {"softcap": 30.0},
    "learned sinks": {"sink_logits": torch.tensor([0.0, 40.0, -40.0, 3.0])},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("largest", [12, 70, 300])
def test_scores_of_any_size_are_measured_as_exactly(options, largest):
    """A sink that takes nearly all, scores far beyond the range of exp, caps and learned sinks."""
    generator = torch.Generator().manual_seed(largest)
    query, key, value = (torch.randn(h, 400, 16, generator=generator) for h in (4, 2, 2))
    key[:, 0] = 4 * query[::2].mean(1)  # a first key of its own
    key[1, 0] = 0
    wide = (query @ key.repeat_interleave(2, 0).transpose(1, 2)).abs().max()
    scale = float(largest / wide)
    ours = attend(query, key, value, scale=scale, **options)
    weights, output = dense(query, key, value, scale=scale, **options)
    assert (ours.entropy - row_entropy(weights)).abs().max() < budget.ROW_ENTROPY
    assert (ours.first_key - weights[..., 0]).abs().max() < budget.WEIGHT
    assert (ours.mass - weights.sum(-1)).abs().max() < budget.WEIGHT
    near = budget.STATES * max(1, largest / 12)  # a score carries a rounding of its own size into its weight
    assert (ours.output - output).abs().max() < near * budget.largest(output)
    assert (ours.columns[:, 0] - weights.sum(1)).abs().max() < near * budget.largest(weights.sum(1))
    assert ours.row_error < budget.ROW_SUM


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_blocks_of_any_size_give_the_same(options, monkeypatch):
    generator = torch.Generator().manual_seed(8)
    query, key, value = (torch.randn(h, 500, 16, generator=generator) for h in (4, 2, 2))
    steps = torch.rand(500, 3, generator=generator)
    found, heights = [], []
    for size in (1, 4 * 2 * 64 * 300, 4 << 20):
        monkeypatch.setattr(attention, "block_bytes", lambda _device, _threads, size=size: size)
        found.append(attend(query, key, value, scale=0.25, weightings=steps, **options))
        parts = list(attention.blocks(500, 2, options.get("span", CAUSAL), query.device))
        assert [row for rows, _ in parts for row in rows] == list(range(500))
        heights.append({len(rows) for rows, _ in parts[:-1]})
    assert heights[0] == {32} and max(heights[1]) > 32 and heights[2] == {128}
    for other in found[1:]:
        for name in ("output", "entropy", "columns", "first_key", "mass"):
            one, two = getattr(found[0], name), getattr(other, name)
            assert (one - two).abs().max() < budget.STATES * max(1.0, budget.largest(one)), name


def test_layers_share_a_room_and_nothing_else():
    generator = torch.Generator().manual_seed(9)
    room = attention.Room()
    for n in (300, 40, 700):
        query, key, value = (torch.randn(h, n, 16, generator=generator) for h in (4, 2, 2))
        alone, shared = (attend(query, key, value, scale=0.25, room=r) for r in (None, room))
        for name in ("output", "entropy", "columns", "first_key", "mass"):
            assert torch.equal(getattr(alone, name), getattr(shared, name))
    held = room.places(1, query.device)
    assert held.shape == (torch.get_num_threads(), 2, 2 * 128 * 640)
    assert room.places(100, query.device) is held


def test_blocks_of_many_threads_share_what_they_may_have():
    sizes = {
        threads: attention.block_bytes(torch.device("cpu"), threads) >> 20 for threads in (1, 4, 8, 16, 64)
    }
    assert sizes == {1: 4, 4: 4, 8: 2, 16: 1, 64: 1}


@pytest.mark.parametrize(("groups", "blocks", "expected"), [(3, 64, 6), (3, 4, 4), (8, 64, 2), (32, 64, 1)])
def test_threads_have_lanes_to_share_out_where_there_are_blocks(groups, blocks, expected):
    assert attention.lanes(groups, blocks, torch.device("cpu")) == expected
    assert attention.lanes(groups, blocks, torch.device("cuda")) == 1


def test_uniform_attention_gives_the_baseline_exactly():
    for n in (2, 64, 300):
        query = torch.zeros(2, n, 8)
        recorder = Recorder((0,))
        recorder.take(0, attend(query, query[:1], query[:1], scale=1.0), query[:1], query[:1], CAUSAL, False)
        kept = recorder.result()
        np.testing.assert_allclose(kept.sink_mass[0], kept.sink_baseline[0], atol=1e-7)
        np.testing.assert_allclose(kept.entropy[0, 0], np.log(np.arange(1, n + 1)), atol=1e-5)


def test_sink_baseline_is_the_published_number():
    query = torch.zeros(1, 64, 8)
    recorder = Recorder((0,))
    recorder.take(0, attend(query, query, query, scale=1.0), query, query, CAUSAL, False)
    including_row_0 = (recorder.result().sink_baseline[0] * 63 + 1) / 64
    assert including_row_0 == pytest.approx(0.0741, abs=5e-5)


def test_a_constructed_sink_head_has_mass_one_and_identity_is_no_sink():
    n, d = 200, 200
    key = torch.eye(n)[None] * 60
    everywhere_to_0 = torch.zeros(1, n, d)
    everywhere_to_0[..., 0] = 60
    for query, mass in ((everywhere_to_0, 1.0), (key, 0.0)):
        recorder = Recorder((0,))
        recorder.take(0, attend(query, key, key, scale=1.0), key, key, CAUSAL, False)
        assert recorder.result().sink_mass[0, 0] == pytest.approx(mass, abs=1e-6)


def test_hidden_keys_windows_and_silenced_heads():
    generator = torch.Generator().manual_seed(2)
    n = 150
    query, key, value = (torch.randn(h, n, 16, generator=generator) for h in (4, 2, 2))
    hidden = np.zeros((2, n), bool)
    hidden[0, [0, 7]] = True
    hidden[1, 100] = True
    ours = attend(
        query, key, value, scale=0.25,
        visibility=Visibility(hidden=hidden, first_query=5, window=40, n_sink=4, silenced=frozenset({(0, 3)})),
    )  # fmt: skip
    i, j = torch.arange(n)[:, None], torch.arange(n)
    gone = torch.from_numpy(hidden).repeat_interleave(2, 0)[:, None] & (i >= 5) & (i != j)
    hide = gone | ((i - j >= 40) & (j >= 4))
    weights, output = dense(query, key, value, scale=0.25, hide=hide)
    output[3] = 0
    assert (ours.output - output).abs().max() < budget.STATES * max(1.0, budget.largest(output))
    assert (ours.entropy - row_entropy(weights)).abs().max() < budget.ROW_ENTROPY
    assert (ours.columns[:, 0] - weights.sum(1)).abs().max() < budget.STATES * budget.largest(weights.sum(1))


def test_the_models_own_attention_comes_back_even_after_an_error():
    model = tiny_model("llama")
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="stop"), recording(model, all_layers(model)):
        assert model.config._attn_implementation == "logitscope"
        raise RuntimeError("stop")
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("wrong", [{"window": 0}, {"n_sink": -1}, {"hidden": np.zeros(3)}])
def test_a_visibility_that_exists_is_valid(wrong):
    with pytest.raises(ValueError, match=r"window|count|bool"):
        Visibility(**wrong)


def test_two_visibilities_never_share_a_description():
    one, other = np.zeros((2, 2, 20), bool), np.zeros((2, 2, 20), bool)
    one[0, :, 3] = other[1, :, 3] = True
    many = [frozenset((0, h) for h in range(8)) | {(1, last)} for last in (0, 1)]
    assert Visibility(hidden=one).describe() != Visibility(hidden=other).describe()
    assert Visibility(silenced=many[0]).describe() != Visibility(silenced=many[1]).describe()
    plain = np.arange(20) == 0
    assert Visibility(hidden=plain, first_query=1).describe() == "tokens 0 hidden from query 1 on"
