"""What a method leaves, run on models of every family: by masks, by dropped states, and on features mixed by hand."""

from __future__ import annotations

import pytest
import torch

import analysis as an
from analysis.visual_tokens.apply import pruned, step_weights
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.parts import visual_positions
from analysis.visual_tokens.policies.base import Choice, Stage
from analysis.visual_tokens.positions import token_boxes
from analysis.visual_tokens.removal import dropped
from analysis.visual_tokens.tower import read_image_once
from tests.tiny_models.vision import FAMILIES, build_vision, image_processor, vision_inputs

EXACT = 1e-12
FLOAT32 = 2e-5
"""What writes rounds its logits to float32."""


@pytest.fixture(scope="module")
def prepared():
    """Model, input with the image read once, and positions of the tokens with a place; made once a family."""
    made = {}

    def make(family: str):
        if family not in made:
            model, image = build_vision(family).double(), an.scene(4).image.resize((72, 56))
            inputs = vision_inputs(family, model, image)
            boxes = token_boxes(model, image_processor(family), image.size, inputs)
            places = visual_positions(model, inputs["input_ids"][0])[torch.as_tensor(boxes.view != NEWLINE)]
            with torch.no_grad():
                made[family] = model, read_image_once(model, inputs), places
        return made[family]

    return make


def logits(model, inputs) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits[0]


def everything(n: int) -> Choice:
    return Choice(n, (Stage(0, torch.arange(n)),))


def merging(n: int, *, centred: bool = False) -> Choice:
    """Neighbours in pairs before the model, every second pair gone from layer 1, all but one from layer 3."""
    mix = torch.zeros((n + 1) // 2, n)
    for i in range(n):
        mix[i // 2, i] = 1 + 2 * (i % 2)
    first = torch.arange(0, n, 2)
    second = torch.arange(0, len(first), 2)
    return Choice(
        n,
        (
            Stage(0, first, mix, centred),
            Stage(1, first[second], mix[second], centred),
            Stage(3, first[:1], mix[:1], centred),
        ),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_leaving_everything_changes_no_bit(prepared, family):
    model, inputs, places = prepared(family)
    full = logits(model, inputs)
    for physically in (False, True):
        with pruned(model, everything(len(places)), places, physically=physically):
            found = logits(model, inputs)
        assert (found - full).abs().max() <= EXACT * full.abs().max()
    assert torch.equal(logits(model, inputs), full), "afterwards the model is as it was"


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_masks_are_dropped_states_when_tokens_merge_and_go_in_stages(prepared, family, centred):
    model, inputs, places = prepared(family)
    choice = merging(len(places), centred=centred)
    with pruned(model, choice, places):
        masked = logits(model, inputs)
    with pruned(model, choice, places, physically=True):
        physical = logits(model, inputs)
    left = torch.ones(len(masked), dtype=torch.bool)
    left[places] = False
    left[places[0]] = True
    assert len(physical) == int(left.sum())
    scale = float(masked.abs().max())
    assert (masked[left] - physical).abs().max() <= EXACT * max(1.0, scale)
    with pruned(model, everything(len(places)), places):
        assert (logits(model, inputs)[-1] - physical[-1]).abs().max() > 1e-3, (
            "what was merged and went mattered"
        )


def test_mixed_states_are_those_of_mixed_features(prepared):
    """By hand: the mixed features on a text with fewer places, at explicit positions."""
    model, inputs, places = prepared("llava")
    n = len(places)
    assert n == 16
    stage = merging(n, centred=True).stages[0]
    features = inputs["mm_encoder_outputs"]["image"].pooler_output[0]
    mixed = (stage.mix.double() @ features)[None]
    mean = (stage.mix @ torch.arange(n).float()) / stage.mix.sum(1)
    ids, where = inputs["input_ids"], torch.arange(inputs["input_ids"].shape[1]).float()
    short = torch.cat([ids[:, : places[0] + 8], ids[:, places[-1] + 1 :]], 1)
    for centred, expected in ((True, places[0] + mean), (False, places[::2].float())):
        position = torch.cat([where[: places[0]], expected, where[places[-1] + 1 :]])[None]
        embedded = model.get_input_embeddings()(short).detach().clone()
        embedded[0, places[0] : places[0] + 8] = mixed
        with torch.no_grad():
            by_hand = model.lm_head(
                model.model.language_model(
                    inputs_embeds=embedded,
                    position_ids=position,
                    attention_mask=torch.ones(1, 1, short.shape[1], short.shape[1], dtype=torch.bool).tril(),
                    use_cache=False,
                ).last_hidden_state
            )[0]
        with pruned(model, Choice(n, (Stage(0, stage.kept, stage.mix, centred),)), places, physically=True):
            assert (logits(model, inputs) - by_hand).abs().max() <= EXACT * by_hand.abs().max()


def test_a_stage_that_merges_later_takes_what_was_merged_before():
    n = 8
    pairs = torch.block_diag(*[torch.full((1, 2), 0.5)] * 4)
    first = Stage(0, torch.arange(0, n, 2), pairs)
    fours = torch.block_diag(*[torch.full((1, 4), 0.25)] * 2)
    second = Stage(2, torch.tensor([0, 4]), fours)
    assert torch.equal(step_weights(first, None), pairs)
    torch.testing.assert_close(
        step_weights(second, first), torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    )
    assert step_weights(Stage(2, first.kept[1:], pairs[1:]), first) is None, "nothing new is merged"
    kept = Stage(0, torch.tensor([1, 2, 5]))
    later = torch.zeros(1, n)
    later[0, [1, 5]] = torch.tensor([0.25, 0.75])
    assert step_weights(Stage(1, torch.tensor([5]), later), kept).tolist() == [[0.25, 0, 0.75]]
    assert step_weights(Stage(1, torch.tensor([5])), kept) is None


def test_merging_inside_the_model_by_hand(prepared):
    """The states that enter layer 2 are mixed, and what went before is not there."""
    model, inputs, places = prepared("llava")
    n, entered = len(places), []
    mix = torch.zeros(2, n)
    mix[0, [0, 4]], mix[1, [8, 12]] = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 2.0])
    choice = Choice(n, (Stage(1, torch.arange(0, n, 4)), Stage(2, torch.tensor([0, 8]), mix)))
    layer = model.model.language_model.layers[1]
    handle = layer.register_forward_hook(lambda _m, _a, out: entered.append(out[0].clone()))
    keep = []
    other = model.model.language_model.layers[2].self_attn.register_forward_pre_hook(
        lambda _m, _a, kw: keep.append(kw["hidden_states"][0].clone()), with_kwargs=True
    )
    with pruned(model, choice, places, physically=True):
        logits(model, inputs)
    handle.remove()
    other.remove()
    (out,), (given,) = entered, keep
    start = int(places[0])
    rows = out[start : start + 4]
    expected = torch.stack([0.5 * rows[0] + 0.5 * rows[1], rows[2] + 2 * rows[3]])
    norm = model.model.language_model.layers[2].input_layernorm
    assert (given[start : start + 2] - norm(expected)).abs().max() < EXACT
    assert len(given) == len(out) - 2


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "gemma3", "paligemma"])
def test_writing_does_not_see_what_went(prepared, family):
    """Three tokens with a cache are those of whole passes under the same choice."""
    model, inputs, places = prepared(family)
    choice = merging(len(places), centred=True)
    with pruned(model, choice, places), torch.no_grad():
        out = model.generate(
            **inputs,
            max_new_tokens=3,
            min_new_tokens=3,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    with pruned(model, choice, places):
        assert (out.logits[0][0] - logits(model, inputs)[-1]).abs().max() < FLOAT32
    if family == "paligemma":
        return  # what it has written is read one way, a whole pass reads both ways
    longer = dict(inputs, input_ids=out.sequences[:, :-1])
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in longer:
            longer[name] = torch.cat([longer[name], longer[name].new_zeros(1, 2)], 1)
    with pruned(model, choice, places):
        assert (out.logits[2][0] - logits(model, longer)[-1]).abs().max() < FLOAT32


def test_two_drops_are_one_after_the_other(prepared):
    """Without merging, stages are the drops that test_removal holds."""
    model, inputs, places = prepared("qwen3_vl")
    choice = Choice(len(places), (Stage(0, torch.arange(1, len(places))),))
    with pruned(model, choice, places):
        found = logits(model, inputs)[-1]
    with dropped(model, places[:1], 0):
        assert (found - logits(model, inputs)[-1]).abs().max() < EXACT * 10
