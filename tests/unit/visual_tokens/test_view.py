"""What methods read of a model: under its own masks, without changing what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.models.attention_choice import attention_name
from analysis.visual_tokens.measures import transition_scores
from analysis.visual_tokens.parts import language_part, visual_positions
from analysis.visual_tokens.policies.dart import Dart
from analysis.visual_tokens.policies.entropyprune import EntropyPrune
from analysis.visual_tokens.policies.fastv import FastV
from analysis.visual_tokens.policies.sparsevlm import SparseVLM
from analysis.visual_tokens.policies.transprune import TransPrune
from analysis.visual_tokens.view import view_before
from tests.tiny_models.vision import FAMILIES, build_vision, vision_inputs


@pytest.fixture(scope="module")
def prepared():
    made = {}

    def make(family: str):
        if family not in made:
            model = build_vision(family)
            made[family] = model, vision_inputs(family, model, an.scene(4).image)
        return made[family]

    return make


def states_and_maps(model, inputs):
    """By the library's own eager attention of the language model."""
    part = language_part(model)
    part.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            return model(**inputs, output_attentions=True, output_hidden_states=True, use_cache=False)
    finally:
        part.set_attn_implementation("sdpa")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_view_is_what_the_library_says(prepared, family):
    """States, and the question's attention in the layer before: two-way blocks and windows included."""
    model, inputs = prepared(family)
    out = states_and_maps(model, inputs)
    ids = inputs["input_ids"][0]
    visual = visual_positions(model, ids)
    text = torch.arange(int(visual[-1]) + 1, len(ids))
    for layer in (1, 2):
        view = view_before(model, inputs, layer)
        expected = out.attentions[layer - 1][0][:, text][..., visual].mean(0)
        assert torch.allclose(view.attention, expected, atol=2e-5)
        scale = float(out.hidden_states[layer].abs().max())
        if family != "qwen3_vl":  # adds features of its tower after a layer's output is recorded
            assert torch.allclose(view.states, out.hidden_states[layer][0, visual], atol=2e-5 * scale)
            assert torch.allclose(view.text_states, out.hidden_states[layer][0, text], atol=2e-5 * scale)
    assert attention_name(language_part(model)) == "sdpa"


@pytest.mark.parametrize("family", FAMILIES)
def test_methods_run_on_it(prepared, family):
    model, inputs = prepared(family)
    view = view_before(model, inputs, 2)
    for method in (Dart(), FastV(), EntropyPrune(), SparseVLM(), TransPrune()):
        assert int(method.keep(view, 3).sum()) == 3
    assert view.keys.shape == (view.n, 2 * 8) and view.queries.shape == (view.n, 4, 8)


@torch.no_grad()
def test_transitions_are_those_of_attention_and_of_the_mlp(prepared):
    """Layer 1 by its own parts: what its norms give, and what it adds to its states."""
    model, inputs = prepared("llava")
    visual = visual_positions(model, inputs["input_ids"][0])
    block, caught = language_part(model).layers[1], []
    handle = block.post_attention_layernorm.register_forward_hook(
        lambda _, given, out: caught.append((given[0], out))
    )
    states = model(**inputs, output_hidden_states=True, use_cache=False).hidden_states
    handle.remove()
    (middle, to_mlp) = (part[0, visual] for part in caught[0])
    start, end = states[1][0, visual], states[2][0, visual]
    expected = transition_scores(block.input_layernorm(start).numpy(), (middle - start).numpy())
    expected += transition_scores(to_mlp.numpy(), (end - middle).numpy())
    found = view_before(model, inputs, 2, transitions_from=1).transitions
    assert np.allclose(found, expected, rtol=1e-3)
    assert int(TransPrune().keep(view_before(model, inputs, 2), 5).sum()) == 5


def test_before_the_first_layer_there_is_no_attention(prepared):
    model, inputs = prepared("llava")
    view = view_before(model, inputs, 0)
    assert view.attention is None and view.keys is None
    assert torch.equal(view.features, view.states)
    with pytest.raises(an.AnalysisError, match="needs attention"):
        FastV().keep(view, 3)


def test_what_makes_no_sense_is_refused(prepared):
    model, inputs = prepared("llava")
    with pytest.raises(an.AnalysisError, match="no layer 4"):
        view_before(model, inputs, 4)
    n = int(visual_positions(model, inputs["input_ids"][0])[-1]) + 1
    with pytest.raises(an.AnalysisError, match="behind the image"):
        view_before(model, dict(inputs, input_ids=inputs["input_ids"][:, :n]), 1)
