"""What methods read of a model: under its own masks, without changing what it says."""

from __future__ import annotations

import pytest
import torch

import analysis as an
from analysis.models.attention_choice import attention_name
from analysis.visual_tokens.boxes import NEWLINE, WHOLE
from analysis.visual_tokens.parts import language_part, sublayers, visual_positions
from analysis.visual_tokens.policies import policy
from analysis.visual_tokens.positions import token_boxes
from analysis.visual_tokens.tower_view import read_tower
from analysis.visual_tokens.view import view_before
from tests.tiny_models.vision import FAMILIES, build_vision, image_processor, vision_inputs

ONE_BY_ONE = ("llava", "idefics3", "smolvlm", "internvl", "paligemma")
"""Families whose projector takes token by token, in the order of the text."""


@pytest.fixture(scope="module")
def prepared():
    made = {}

    def make(family: str):
        if family not in made:
            model, image = build_vision(family), an.scene(4).image
            inputs = vision_inputs(family, model, image)
            made[family] = model, inputs, token_boxes(model, image_processor(family), image.size, inputs)
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
    """States, and the question's attention: two-way blocks and windows included."""
    model, inputs, boxes = prepared(family)
    out = states_and_maps(model, inputs)
    ids = inputs["input_ids"][0]
    every = visual_positions(model, ids)
    visual = every[torch.as_tensor(boxes.view != NEWLINE)]
    text = torch.tensor([i for i in range(len(ids)) if i not in every])
    view = view_before(model, inputs, boxes)
    assert len(view) == len(visual) == len(view.row) and view.n_layers == 4
    assert len(view.question) == len(ids) - 1 - int(every[-1])
    for layer in range(4):
        expected = out.attentions[layer][0][:, -len(view.question) :, visual]
        assert torch.allclose(view.attention[layer], expected, atol=2e-5)
        states = out.hidden_states[layer][0]
        if family != "qwen3_vl" or not layer:  # adds features of its tower after a layer's output is recorded
            near = {"atol": 2e-5 * float(states.abs().max()), "rtol": 0}
            assert torch.allclose(view.states[layer], states[visual], **near)
            assert torch.allclose(view.text_states[layer], states[text], **near)
    assert torch.equal(view.features, view.states[0])
    assert torch.equal(view.question, view.text_states[0][-len(view.question) :])
    assert attention_name(language_part(model)) == "sdpa"


@pytest.mark.parametrize("family", FAMILIES)
def test_sublayers_give_what_is_added(prepared, family):
    """Layer 2 alone: its states and both changes are the states that enter layer 3."""
    view = view_before(*prepared(family), layers=(2, 3))
    assert set(view.sublayers) == set(view.queries) == {2, 3}
    (to_attention, attended), (to_mlp, changed) = view.sublayers[2]
    after = view.states[2] + attended + changed
    assert torch.allclose(after, view.states[3], atol=2e-5 * float(after.abs().max()), rtol=0)
    block = language_part(prepared(family)[0]).layers[2]
    (_, _), (mlp, adds) = sublayers(block)
    with torch.no_grad():
        assert torch.allclose(to_attention, block.input_layernorm(view.states[2]), atol=2e-5)
        again = mlp(to_mlp) if adds is mlp else adds(mlp(to_mlp))
    assert torch.allclose(changed, again, atol=2e-5 * float(changed.abs().max()), rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["dart", "fastv", "sparsevlm", "entropyprune", "transprune"])
def test_methods_run_on_it(prepared, family, name):
    """On no more layers than they say, and as on all of them."""
    method = policy(name)
    view = view_before(*prepared(family), method.layers_read(4))
    choice = method.choose(view, 3)
    assert len(choice.kept) == 3 and torch.equal(
        choice.kept, method.choose(view_before(*prepared(family)), 3).kept
    )
    layer = max(view.keys)
    assert view.keys[layer].shape == (len(view), 2 * 8) and view.queries[layer].shape == (len(view), 4, 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_projector_gives_the_features_of_what_it_was_given(prepared, family):
    view = view_before(*prepared(family), ())
    if family not in ONE_BY_ONE:
        assert view.projector_inputs is None
        assert "cannot be read" in policy("zeroth_order").unsupported(view)
        return
    with torch.no_grad():
        assert torch.allclose(view.projector(view.projector_inputs), view.features, atol=1e-4)
    assert len(policy("zeroth_order").choose(view, 3).kept) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_crops_are_told_apart(prepared, family):
    """No two tokens with one place; tiles count in their order, a canvas that they lie on as one."""
    _, _, boxes = prepared(family)
    view = view_before(*prepared(family), ())
    small = boxes.view[boxes.view != NEWLINE] == WHOLE
    if not small.any():
        assert view.crop is None
        return
    assert len(torch.unique(torch.stack([view.crop, view.row, view.column]), dim=1)[0]) == len(view)
    assert ((view.crop == 0).numpy() == small).all()
    # crops count on row by row over the picture, and each has one rectangle of places to itself
    there = torch.bincount(view.crop)
    assert len(there) > 2 and there.min() > 0
    before = (-1, -1)
    for number in range(1, len(there)):
        row, column = (line[view.crop == number] for line in (view.row, view.column))
        assert (row.max() - row.min() + 1) * (column.max() - column.min() + 1) == there[number]
        assert before < (int(row.min()), int(column.min()))
        before = int(row.min()), int(column.min())


def test_an_image_that_was_read_is_not_read_again(prepared):
    """Another question about it gives what reading everything anew gives."""
    model, inputs, boxes = prepared("llava")
    other = dict(inputs, input_ids=torch.cat([inputs["input_ids"], torch.tensor([[33]])], 1))
    reading = read_tower(model, inputs, boxes)
    bare = {k: v for k, v in other.items() if k != "pixel_values"}
    view = view_before(model, reading.asking(bare), boxes, (1,))
    again = view_before(model, other, boxes, (1,))
    for name in ("attention", "states", "keys"):
        assert torch.equal(getattr(view, name)[1], getattr(again, name)[1])
    assert torch.equal(view.cls_attention, again.cls_attention) and set(view.keys) == {1}
    assert len(view.question) == 1 + len(view_before(model, reading, boxes, ()).question)


def test_what_makes_no_sense_is_refused(prepared):
    model, inputs, boxes = prepared("llava")
    with pytest.raises(an.AnalysisError, match="no layer 4"):
        view_before(model, inputs, boxes, (1, 4))
    n = int(visual_positions(model, inputs["input_ids"][0])[-1]) + 1
    with pytest.raises(an.AnalysisError, match="behind the image"):
        view_before(model, dict(inputs, input_ids=inputs["input_ids"][:, :n]), boxes)
    with pytest.raises(an.AnalysisError, match="16 visual tokens and 4 rectangles"):
        view_before(model, inputs, prepared("gemma3")[2])
