"""Massive activations and projected values: rules by hand, numbers against direct computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import analysis as an
from analysis.attention_sinks import extremes as extremes_module
from analysis.attention_sinks.extremes import extreme_tokens, largest_activations, projected_norms
from analysis.attention_sinks.maps import head_map_block
from analysis.attention_sinks.massive import Extremes, is_massive, is_massive_by_ratio, output_drain
from analysis.forward.visibility import Visibility
from tests.tiny_models.families import FAMILIES, FAMILIES_EXTRA, tiny_model

TEXT = "The cat sat on the mat, and the dog ran to the river."
OUTPUT = {
    "gpt2": "attn.c_proj",
    "gpt_neox": "attention.dense",
    "opt": "self_attn.out_proj",
    "phi": "self_attn.dense",
}


def test_both_rules_by_hand():
    value = np.array([[-101.0, 100.0, 99.0], [150.0, -0.5, 0.0], [5e4, 101.0, 3.0]])
    median = np.array([0.1, 0.005, 1.0])
    assert is_massive(value, median).tolist() == [
        [True, False, False],
        [True, False, False],
        [True, False, False],
    ]
    assert is_massive_by_ratio(value, median).tolist() == [
        [True, True, True],
        [True, True, False],
        [True, True, False],
    ]
    assert not is_massive(np.array([[150.0]]), np.array([0.2])).any()  # above 100, 750 medians
    assert is_massive(np.array([[-200.0]]), np.array([0.2])).all()  # exactly 1000 medians
    assert not is_massive_by_ratio(np.zeros((1, 2)), np.zeros(1)).any()


def test_largest_activations_by_hand():
    states = torch.tensor([[1.0, -7.0, 2.0, 0.0], [3.0, 0.5, -9.0, 4.0]])
    token, dimension, value, median = largest_activations(states)
    assert (token.tolist(), dimension.tolist()) == ([1, 0, 1], [2, 1, 3])
    assert value.tolist() == [-9.0, -7.0, 4.0]
    assert median == 2.0  # sizes 0 .5 1 2 | 3 4 7 9
    assert len(largest_activations(torch.ones(1, 2))[0]) == 2


def test_projected_norms_by_hand():
    weight = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 3.0], [0.0, 0.0, 0.0, 4.0]])
    value = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])  # one KV head for two query heads
    assert projected_norms(weight, value, 2).tolist() == [[5.0, 1.0], [pytest.approx(436**0.5), 2.0]]


def test_drain_and_table():
    norms = np.full((1, 2, 5), 2.0, np.float32)
    norms[0, 1, 0], norms[0, 1, 4] = 0.5, 100.0
    top = np.zeros((2, 3), np.int64)
    value = np.array([[3.0, 2.0, 1.0], [-4000.0, 30.0, 1.0]], np.float32)
    extremes = Extremes(top, top, value, np.array([0.0, 2.0], np.float32), norms)
    assert output_drain(extremes).tolist() == [[1.0, 0.25]]
    frame = extremes.to_frame()
    assert len(frame) == 6 and frame["times_median"][3] == 2000.0 and np.isinf(frame["times_median"][0])
    assert frame["massive"].tolist() == [False, False, False, True, False, False]
    with pytest.raises(ValueError, match="no plain"):
        output_drain(Extremes(top, top, value, np.ones(2), None, "no plain layer"))


def caught_values(monkeypatch):
    """Values of every layer of the passes that follow."""
    values, plain = [], extremes_module.attend_call

    def watching(call, *more):
        values.append(call.value[0].double())
        return plain(call, *more)

    monkeypatch.setattr(extremes_module, "attend_call", watching)
    return values


@pytest.mark.parametrize("family", FAMILIES + FAMILIES_EXTRA)
def test_every_family_against_direct_computation(family, load_tiny, monkeypatch):
    model = load_tiny(family)
    trace = an.trace(model, TEXT)
    values = caught_values(monkeypatch)
    reported = []
    extremes = extreme_tokens(model, trace, on_progress=lambda share, what: reported.append(share))
    assert reported == sorted(reported) and reported[-1] == 1.0
    n_layers = model.info.n_layers
    assert extremes.value_out_norm.shape == (n_layers, 4, len(trace.tokens)) and not extremes.unavailable
    for layer, block in enumerate(model.anatomy.layers):
        weight = block.get_submodule(OUTPUT.get(family, "self_attn.o_proj")).weight.detach().double()
        weight = weight.T if family == "gpt2" else weight
        value = values[layer].repeat_interleave(4 // len(values[layer]), 0)
        width = value.shape[-1]
        for head in range(4):
            direct = (value[head] @ weight[:, head * width : (head + 1) * width].T).norm(dim=-1)
            np.testing.assert_allclose(extremes.value_out_norm[layer, head], direct.numpy(), rtol=1e-4)

    plain, states = tiny_model(family), []
    from analysis.models.anatomy import find_layers
    from analysis.models.body import first_tensor

    layers = find_layers(plain)[1]
    layers[0].register_forward_pre_hook(
        lambda _m, args, kwargs: states.append((args[0] if args else kwargs["hidden_states"])[0]),
        with_kwargs=True,
    )
    for block in layers:
        block.register_forward_hook(lambda _m, _a, out: states.append(first_tensor(out)[0]))
    with torch.inference_mode():
        plain(torch.from_numpy(trace.tokens.token_id)[None], use_cache=False)
    assert len(states) == n_layers + 1
    for layer, state in enumerate(states):
        array = state.numpy()
        at = np.argsort(-np.abs(array), axis=None)[:3]
        expected = array[np.unravel_index(at, array.shape)]
        np.testing.assert_allclose(np.abs(extremes.value[layer]), np.abs(expected), rtol=2e-3)
        own = array[extremes.token[layer], extremes.dimension[layer]]
        np.testing.assert_allclose(extremes.value[layer], own, rtol=2e-3)
        assert extremes.median[layer] == pytest.approx(np.median(np.abs(array)), rel=0.02)


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_projected_values_add_up_to_what_the_layer_writes(family, load_tiny, monkeypatch):
    """The parts of the projection, mixed by the maps, are the layer's own output."""
    model = load_tiny(family)
    trace = an.trace(model, TEXT)
    module = model.anatomy.layers[1].get_submodule(OUTPUT.get(family, "self_attn.o_proj"))
    values = caught_values(monkeypatch)
    written = []
    with torch.inference_mode():
        handle = module.register_forward_hook(lambda _m, _a, out: written.append(out[0].double()))
        extreme_tokens(model, trace)
        handle.remove()
    weight = module.weight.detach().double()
    weight = weight.T if family == "gpt2" else weight
    total = torch.zeros_like(written[0])
    if module.bias is not None:
        total += module.bias.detach().double()
    for head, part in enumerate(weight.unflatten(1, (4, -1)).unbind(1)):
        mix = torch.from_numpy(np.nan_to_num(head_map_block(model, trace, 1, head).values)).double()
        total += mix @ (values[1][head // (4 // len(values[1]))] @ part.T)
    assert (total - written[0]).abs().max() < 1e-4 * written[0].abs().max()


class Doubled(nn.Module):
    """A projection that changes what it gets before its linear layer."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, states):
        return self.inner(2 * states)


def test_a_changed_attention_output_is_not_available(fresh_llama):
    block = fresh_llama.anatomy.layers[1].self_attn
    block.o_proj = Doubled(block.o_proj)
    extremes = extreme_tokens(fresh_llama, an.trace(fresh_llama, TEXT))
    assert extremes.value_out_norm is None
    assert extremes.unavailable.endswith("as it is in layer 1.")
    assert extremes.value.shape == (3, 3)


def test_it_follows_what_the_run_hid(llama):
    silenced = Visibility(silenced=frozenset({(0, head) for head in range(4)}))
    plain, broken = an.trace(llama, TEXT), an.trace(llama, TEXT, visibility=silenced)
    before = extreme_tokens(llama, plain)
    after = extreme_tokens(llama, broken, visibility=silenced)
    np.testing.assert_array_equal(before.value[0], after.value[0])
    assert (before.value[1] != after.value[1]).any()
    np.testing.assert_allclose(before.value_out_norm[0], after.value_out_norm[0], rtol=1e-6)
