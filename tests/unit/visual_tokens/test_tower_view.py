"""What methods read of the tower, against the library's own eager maps and the models' own way from patch to token."""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
import pytest
import torch
from PIL import Image

import analysis as an
from analysis.models.attention_choice import attention_name
from analysis.visual_tokens.boxes import NEWLINE
from analysis.visual_tokens.parts import feature_layer, vision_layers, vision_part
from analysis.visual_tokens.patches import Patches, crops, grey_entropy, token_patches
from analysis.visual_tokens.positions import token_boxes
from analysis.visual_tokens.tower import read_image_once
from analysis.visual_tokens.tower_view import TOWER_PARTS, read_tower
from tests.budget import STATES, WEIGHT, largest
from tests.tiny_models.vision import (
    FAMILIES,
    build_vision,
    image_processor,
    silenced_vision,
    vision_inputs,
)

WITH_CLASS = ("llava", "llava_next", "internvl")


@pytest.fixture(scope="module")
def prepared():
    made = {}

    def make(family: str):
        if family not in made:
            model = build_vision(family)
            picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (80, 128, 3), np.uint8))
            inputs = vision_inputs(family, model, picture)
            boxes = token_boxes(model, image_processor(family), picture.size, inputs)
            made[family] = model, inputs, boxes
        return made[family]

    return make


def eager_maps(model, inputs, monkeypatch):
    """By layer, the maps (B, H, n, n), keys and values that the library's own eager attention makes and takes."""
    tower = vision_part(model)
    layer_of = {m: i for i, layer in enumerate(vision_layers(model)) for m in layer.modules()}
    source = sys.modules[type(tower).__module__]
    own, found = source.eager_attention_forward, defaultdict(list)

    def watched(module, query, key, value, *args, **keywords):
        out, weights = own(module, query, key, value, *args, **keywords)
        found[layer_of[module]].append((weights, key, value))
        return out, weights

    monkeypatch.setattr(source, "eager_attention_forward", watched)
    before = attention_name(tower)
    tower.set_attn_implementation("eager")
    with torch.no_grad():
        read_image_once(model, inputs)
    tower.set_attn_implementation(before)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_patches_become_the_tokens_that_answer_to_them(family):
    """With the tower's attention silenced, one patch's pixels change one row in the tower and one token, or none."""
    model = silenced_vision(family)
    picture = Image.fromarray(np.random.default_rng(3).integers(0, 256, (80, 128, 3), np.uint8))
    inputs = vision_inputs(family, model, picture)
    boxes = token_boxes(model, image_processor(family), picture.size, inputs)
    patches = token_patches(model, boxes)
    place = torch.as_tensor(boxes.view != NEWLINE)
    entered = []
    handle = vision_layers(model)[0].register_forward_pre_hook(
        lambda _m, args, keywords: entered.append((args[0] if args else keywords["hidden_states"]).detach()),
        with_kwargs=True,
    )

    @torch.no_grad()
    def look(pixels):
        out = read_image_once(model, dict(inputs, pixel_values=pixels))["mm_encoder_outputs"]["image"]
        rows = torch.cat([f.reshape(-1, f.shape[-1]) for f in out.pooler_output])[place]
        states = entered.pop()
        return rows, states.reshape(len(patches.token), -1, states.shape[-1])

    pixels = inputs["pixel_values"]
    plain, states = look(pixels)
    seen = set()
    for seed in range(40):
        changed = pixels.clone()
        dice = np.random.default_rng(seed)
        if pixels.ndim == 2:
            changed[dice.integers(len(pixels))] += 1
        else:
            flat = changed.flatten(0, -4)
            b, y, x = (int(dice.integers(n)) for n in (len(flat), flat.shape[2] // 8, flat.shape[3] // 8))
            flat[b, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] += 1
        now, entering = look(changed)
        moved = (entering - states).abs().amax(-1).nonzero().tolist()
        assert len(moved) == 1
        b, row = moved[0]
        expected = int(patches.token[b, row - (states.shape[1] - patches.token.shape[1])])
        answered = (now - plain).abs().amax(1).nonzero()[:, 0].tolist()
        assert answered == ([expected] if expected >= 0 else [])
        seen.add(expected)
    handle.remove()
    assert len(seen - {-1}) >= 4 and patches.n_tokens == int(place.sum())
    counts = torch.bincount(patches.token[patches.token >= 0])
    assert len(counts) == patches.n_tokens and counts.min() == counts.max()


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_of_the_tower_are_those_of_the_librarys_eager_attention(prepared, family, monkeypatch):
    """Every entry by a loop over patches; nothing of the tower's result changes while it is heard."""
    model, inputs, boxes = prepared(family)
    with torch.no_grad():
        plain = read_image_once(model, inputs)["mm_encoder_outputs"]["image"].pooler_output
    reading = read_tower(model, inputs, boxes)
    for ours, theirs in zip(reading.once["mm_encoder_outputs"]["image"].pooler_output, plain, strict=True):
        assert torch.equal(ours, theirs)
    assert attention_name(vision_part(model)) == "sdpa"

    patches, deepest = token_patches(model, boxes), feature_layer(model)
    found = eager_maps(model, inputs, monkeypatch)
    (weights, keys, values) = found[deepest][0]
    first = weights.shape[-1] - patches.token.shape[1]
    n = patches.n_tokens
    members = [(patches.token == t).nonzero().tolist() for t in range(n)]
    parts = reading.parts
    expected = torch.zeros(weights.shape[1], n, n)
    for t, mine in enumerate(members):
        for u, others in enumerate(members):
            pairs = [(b, i, j) for b, i in mine for c, j in others if b == c]
            if pairs and mine[0][0] == others[0][0]:
                expected[:, t, u] = torch.stack(
                    [weights[b, :, first + i, first + j] for b, i, j in pairs]
                ).mean(0)
    assert torch.allclose(parts["tower_attention"], expected, atol=WEIGHT)
    expected = torch.stack(
        [torch.stack([keys[b, :, first + i].mean(0) for b, i in mine]).mean(0) for mine in members]
    )
    assert torch.allclose(parts["tower_keys"], expected, atol=STATES * largest(expected), rtol=0)
    assert first == (family in WITH_CLASS)
    if not first:
        assert not {"cls_attention", "cls_logits", "first_cls_attention", "tower_layers"} & set(parts)
        return

    def row(layer):
        map_ = found[layer][0][0]
        return torch.stack(
            [torch.stack([map_[b, :, 0, 1 + i] for b, i in mine]).mean(0) for mine in members], 1
        )

    assert torch.allclose(parts["cls_attention"], row(deepest), atol=WEIGHT)
    assert torch.allclose(parts["first_cls_attention"], row(0), atol=WEIGHT)
    if (
        patches.token.shape[1] == n
    ):  # one picture, one patch a token: the scores are the weights but for a constant
        apart = parts["cls_logits"] - parts["cls_attention"].log()
        assert largest(apart - apart.mean(1, keepdim=True)) < 1e-4
    layers = parts["tower_layers"]
    assert len(layers) == len(range(deepest, -1, -2))
    assert torch.allclose(layers[-1].cls_attention, row(deepest).mean(0), atol=WEIGHT)
    wide = values.transpose(1, 2).flatten(2)
    for t in (0, n - 1):
        b = members[t][0][0]
        assert torch.allclose(layers[-1].cls_value[t], wide[b, 0], atol=STATES * largest(wide), rtol=0)
        mine = torch.stack([wide[b, 1 + i] for b, i in members[t]]).mean(0)
        assert torch.allclose(layers[-1].values[t], mine, atol=STATES * largest(wide), rtol=0)


def test_only_what_is_asked_for_is_kept(prepared):
    model, inputs, boxes = prepared("llava")
    assert set(read_tower(model, inputs, boxes).parts) == set(TOWER_PARTS)
    assert set(read_tower(model, inputs, boxes, ("tower_keys",)).parts) == {"tower_keys"}


def test_entropy_of_grey_levels_by_hand():
    """Patch 0 is flat, 1 half dark and half bright, 2 has four levels alike, 3 is flat; two tokens of two patches."""
    picture = torch.zeros(1, 3, 8, 32)
    picture[..., :4, 8:16] = 1
    picture[..., 16:18], picture[..., 18:20], picture[..., 20:22] = 1, 0.25, 0.5
    one = grey_entropy(picture, 8, Patches(torch.arange(4)[None], 4))
    assert torch.allclose(one, torch.tensor([0, np.log(2), np.log(4), 0], dtype=torch.float32))
    # the same for colours that are grey together, and for values as a processor normalises them
    tinted = picture * 2 - 1 + torch.tensor([0.3, -0.1, -0.2])[:, None, None]
    pairs = grey_entropy(tinted, 8, Patches(torch.tensor([[0, 1, 0, 1]]), 2))
    assert torch.allclose(pairs, torch.tensor([np.log(4) / 2, np.log(2) / 2], dtype=torch.float32), atol=1e-6)
    rows = torch.nn.functional.unfold(picture, 8, stride=8)[0].T  # all values of each patch, colour by colour
    two = grey_entropy(rows, 8, Patches(torch.tensor([[0, 0, 1, 1]]), 2))
    assert torch.allclose(two, torch.tensor([np.log(2) / 2, np.log(4) / 2], dtype=torch.float32))


def test_a_token_that_is_no_set_of_patches_has_no_parts_of_the_tower():
    """OneVision makes very large grids smaller: tokens mix patches, and all crops count as one."""
    model = build_vision("llava_onevision")
    model.config.vision_aspect_ratio = "anyres_max_1"
    processor, picture = image_processor("llava_onevision"), an.scene(2).image.resize((128, 128))
    inputs = vision_inputs("llava_onevision", model, picture)
    boxes = token_boxes(model, processor, picture.size, inputs)
    assert token_patches(model, boxes) is None
    reading = read_tower(model, inputs, boxes)
    assert set(reading.parts) == {"crop"} and set(reading.parts["crop"].tolist()) == {0, 1}
    assert torch.equal(reading.parts["crop"], crops(boxes, None))
