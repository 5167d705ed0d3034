"""Bounded changes of pictures, and the numbers that say what they do to a compressed model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import analysis as an
from analysis.visual_tokens.patches import token_patches
from analysis.visual_tokens.perturbation import (
    AgainstAttention,
    RandomSigns,
    Shown,
    as_picture,
    attended,
    colours_of,
    pixels_of_colours,
)
from analysis.visual_tokens.policies.base import highest
from analysis.visual_tokens.positions import token_boxes
from analysis.visual_tokens.stability import practical_budget, rank_stability, robustness
from tests.budget import EXACT
from tests.tiny_models.vision import build_vision, image_processor, vision_inputs


def shown(family: str) -> Shown:
    model, picture = build_vision(family), an.scene(4).image.resize((64, 64))
    processor = image_processor(family)
    inputs = vision_inputs(family, model, picture)
    return Shown(model, processor, inputs, token_boxes(model, processor, picture.size, inputs))


@pytest.mark.parametrize("family", ["llava", "llava_next", "idefics3", "gemma3"])
@pytest.mark.parametrize("noise", [RandomSigns(3, seed=1), AgainstAttention(3, steps=8, step=1.0)])
def test_no_colour_moves_further_than_the_bound_and_the_picture_stays_one(family, noise):
    one = shown(family)
    before = {k: v.clone() for k, v in one.inputs.items()}
    changed = noise.perturbed(one)
    assert all(torch.equal(v, one.inputs[k]) for k, v in before.items()), "the input is left as it was"
    was, now = (colours_of(i["pixel_values"], one.processor) for i in (one.inputs, changed))
    assert torch.allclose(was, was.round(), atol=1e-3) and torch.allclose(now, now.round(), atol=1e-3)
    moved = (now - was).abs()
    assert float(moved.max()) <= 3 + 1e-3 and float(now.min()) > -1e-3 and float(now.max()) < 255.001
    assert float((moved > 0.5).float().mean()) > 0.5
    assert torch.equal(changed["input_ids"], one.inputs["input_ids"])
    again = noise.perturbed(one)["pixel_values"]
    assert torch.equal(again, changed["pixel_values"])


def test_chance_goes_both_ways_and_by_its_seed():
    one = shown("llava")
    one.inputs["pixel_values"].zero_()  # far from black and white: nothing is cut off
    moved = [
        colours_of(RandomSigns(2, seed=s).perturbed(one)["pixel_values"], one.processor) - 127.5
        for s in (0, 1)
    ]
    assert torch.allclose(moved[0].abs(), torch.tensor(2.0), atol=1e-3)
    assert abs(float(moved[0].mean())) < 0.2 and not torch.equal(*moved)


def test_a_picture_is_read_back_as_it_was():
    picture = an.scene(4).image.resize((32, 32))
    processor = image_processor("llava")
    pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
    assert (as_picture(pixels, processor) == np.asarray(picture)).all()
    assert torch.allclose(pixels_of_colours(colours_of(pixels, processor), processor), pixels, atol=1e-6)


@pytest.mark.parametrize("family", ["llava", "gemma3"])  # with a class token, and without
def test_steps_take_attention_away_where_chance_does_not(family):
    one = shown(family)
    patches = token_patches(one.model, one.boxes)

    def mass(inputs) -> tuple[float, float]:
        with torch.no_grad():
            score, states = attended(one.model, inputs, patches)
        return float(score[chosen].sum()), float(torch.cosine_similarity(states, clean, dim=-1).mean())

    with torch.no_grad():
        score, clean = attended(one.model, one.inputs, patches)
    chosen = highest(score, max(1, round(len(score) / 9)))
    before, _ = mass(one.inputs)
    free = mass(AgainstAttention(8, steps=30, step=1.0, states_weight=0.0).perturbed(one))
    held = mass(AgainstAttention(8, steps=30, step=1.0, states_weight=5.0).perturbed(one))
    chance = [mass(RandomSigns(8, seed=s).perturbed(one))[0] for s in range(4)]
    assert free[0] < min(chance) and free[0] < 0.9 * before
    assert held[1] > free[1], "the states are held where their weight is larger"


def test_what_cannot_be_is_refused():
    with pytest.raises(an.AnalysisError, match="0 levels"):
        RandomSigns(0).perturbed(shown("llava"))
    with pytest.raises(an.AnalysisError, match="patch by patch"):
        RandomSigns().perturbed(shown("qwen2_vl"))


def of(text: str) -> np.ndarray:
    return np.array([letter == "r" for letter in text])


def test_four_numbers_by_hand():
    """Ten questions: 8 right in full, 6 of them with noise; kept 7 and 3; sound are those right thrice."""
    full_clean, full_noisy = of("rrrrrrrrww"), of("rrrrrrwwwr")
    kept_clean, kept_noisy = of("rrrrrwrwrw"), of("rrwwwrwwww")
    found = robustness(full_clean, full_noisy, kept_clean, kept_noisy, np.arange(10))
    assert found.survival == pytest.approx(7 / 8)
    assert found.error.value == pytest.approx(7 / 10) and found.error.low < 0.7 < found.error.high
    assert found.n_sound == 5 and found.broken.value == pytest.approx(3 / 5)
    # six copies of each question about its picture know nothing more
    six = robustness(
        *(np.repeat(x, 6) for x in (full_clean, full_noisy, kept_clean, kept_noisy, np.arange(10)))
    )
    assert six.n_sound == 30 and six.error == found.error and six.broken == found.broken
    sure = robustness(of("rrrr"), of("rrrr"), of("rrrr"), of("rrrr"), np.array([0, 0, 1, 1]))
    assert sure.broken.value == 0 and sure.broken.high == pytest.approx(0.6576, abs=1e-4)  # 0 of 2 pictures
    # one picture, half of it wrong: Wilson's interval of one trial with a share of 0.5, and none of width 0
    single = robustness(of("rr"), of("rr"), of("rr"), of("rw"), np.array([7, 7])).error
    assert (single.value, single.low, single.high) == pytest.approx((0.5, 0.0546, 0.9454), abs=1e-4)
    nothing = robustness(of("ww"), of("ww"), of("ww"), of("rw"), np.arange(2))
    assert np.isnan(nothing.survival) and np.isnan(nothing.broken.value) and nothing.n_sound == 0


def test_the_fewest_tokens_that_are_practical():
    """Of ten right in full eight are enough: 16 tokens get exactly eight."""
    full = of("rrrrrrrrrr")
    cells = {36: of("rrrrrrrrrw"), 16: of("rrrrrrrrww"), 4: of("rrrrrrrwww")}
    assert practical_budget(full, cells) == 16
    assert practical_budget(full, {4: cells[4]}) is None
    assert practical_budget(of("wwwwwwwwww"), cells) is None, "80 % of nothing"


def test_a_ranking_before_and_after():
    before = torch.tensor([8.0, 7, 6, 5, 4, 3, 2, 1])
    after = torch.tensor([8.0, 1, 6, 5, 4, 3, 7, 2])
    found = rank_stability(before, after, 2)
    # Spearman: 1 - 6 * (36 + 25 + 1) / (8 * 63)
    assert found.correlation == pytest.approx(1 - 6 * (36 + 25 + 1) / 504)
    assert found.preserved == 0.5 and found.infiltrated == 0.5
    same = rank_stability(before, before**3, 6)
    assert same.correlation == pytest.approx(1, rel=EXACT) and (same.preserved, same.infiltrated) == (1, 0)
    assert np.isnan(rank_stability(before, torch.ones(8), 2).correlation)
    assert np.isnan(rank_stability(before, before, 8).infiltrated)
    none = rank_stability(before, before, 0)
    assert np.isnan(none.preserved) and np.isnan(none.infiltrated)
    assert none.correlation == pytest.approx(1, rel=EXACT)
