"""Rectangles of visual tokens, against the models: a bright band slides over a picture, and the tokens that answer are looked up.

The tower's attention is silenced, so that a token depends on its own patches alone. A band across the whole
height tells left and right of every token, one across the whole width tells top and bottom. A transposed grid, a
crop left out or a padding counted once instead of twice moves them by a token or more.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import analysis as an
from analysis.visual_tokens.boxes import MAIN, NEWLINE, WHOLE, TokenBoxes, grid_boxes, tiles
from analysis.visual_tokens.positions import token_boxes
from tests.tiny_models.vision import (
    FAMILIES,
    IMAGE_ID,
    build_vision,
    image_processor,
    silenced_vision,
    vision_inputs,
)

BAND = 4
SIZES = {"landscape": (128, 80), "portrait": (72, 136), "square": (64, 64), "long": (200, 48)}


@torch.no_grad()
def features(family: str, model, image: Image.Image) -> np.ndarray:
    """(n, width): what stands at each position with the image's id."""
    inputs = vision_inputs(family, model, image)
    pixels = {
        k: v for k, v in inputs.items() if k not in ("input_ids", "mm_token_type_ids", "token_type_ids")
    }
    found = model.get_image_features(**pixels).pooler_output
    return torch.cat([f.reshape(-1, f.shape[-1]) for f in found]).numpy()


def answers(family: str, model, size: tuple[int, int], axis: int) -> np.ndarray:
    """(bands, n): how strongly each token answers to a band at each place along an axis (0 is x)."""
    grey = np.full((size[1], size[0], 3), 90, np.uint8)
    plain = features(family, model, Image.fromarray(grey))
    found = []
    for start in range(0, size[axis], BAND):
        picture = grey.copy()
        picture[(slice(None), slice(start, start + BAND)) if axis == 0 else slice(start, start + BAND)] = (
            250,
            30,
            60,
        )
        found.append(np.linalg.norm(features(family, model, Image.fromarray(picture)) - plain, axis=1))
    return np.array(found)


def misplaced(boxes: TokenBoxes, answer: np.ndarray, axis: int) -> list[int]:
    """Tokens whose rectangle along an axis is not where they answer.

    No strong answer may come from more than a quarter of a token outside, and the middle of what is answered
    to lies within a third of a token of the rectangle's (plus half a band). Slivers at the edge are left out.
    """
    found = []
    middles = np.arange(0, boxes.size[axis], BAND) + BAND / 2
    low, high = boxes.box[:, axis], boxes.box[:, axis + 2]
    token = np.nanmax(high - low)
    extent = boxes.box[:, 2:] - boxes.box[:, :2]
    for i in np.flatnonzero((boxes.view != NEWLINE) & (extent > BAND).all(1)):
        strong = middles[answer[:, i] > 0.1 * answer[:, i].max()]
        outside = (strong + BAND < low[i] - 0.25 * token) | (strong - BAND > high[i] + 0.25 * token)
        away = (strong.min() + strong.max() - low[i] - high[i]) / 2 if len(strong) else np.inf
        if outside.any() or abs(away) > 0.35 * token + BAND / 2:
            found.append(int(i))
    return found


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_answer_where_their_rectangles_are(family, size):
    model, processor = silenced_vision(family), image_processor(family)
    inputs = vision_inputs(family, model, Image.new("RGB", size))
    boxes = token_boxes(model, processor, size, inputs)
    assert len(boxes) == int((inputs["input_ids"] == IMAGE_ID).sum())
    for axis in (0, 1):
        answer = answers(family, model, size, axis)
        assert (answer[:, boxes.view == NEWLINE] == 0).all()
        assert not misplaced(boxes, answer, axis)


def test_a_very_large_grid_is_made_smaller():
    """OneVision with at most two crops' worth of tokens: 8 x 8 become 5 x 5, over the same part of the picture."""
    model, size = silenced_vision("llava_onevision"), SIZES["square"]
    model.config.vision_aspect_ratio = "anyres_max_2"
    inputs = vision_inputs("llava_onevision", model, Image.new("RGB", size))
    boxes = token_boxes(model, image_processor("llava_onevision"), size, inputs)
    assert len(boxes) == int((inputs["input_ids"] == IMAGE_ID).sum()) == 16 + 5 * 6
    for axis in (0, 1):
        assert not misplaced(boxes, answers("llava_onevision", model, size, axis), axis)


@pytest.mark.parametrize("family", ["llava_next", "qwen2_5_vl", "internvl"])
def test_wrong_rectangles_are_found(family):
    """Rows for columns, the whole picture at the wrong end, and half a token aside: each is misplaced."""
    size = SIZES["landscape"]
    model = silenced_vision(family)
    inputs = vision_inputs(family, model, Image.new("RGB", size))
    boxes = token_boxes(model, image_processor(family), size, inputs)
    answer = answers(family, model, size, 0)
    turned = boxes.box[:, [1, 0, 3, 2]] * np.tile([size[0] / size[1], size[1] / size[0]], 2)
    rolled = np.roll(boxes.box, 1, 0)
    aside = boxes.box + [0.6 * np.nanmax(boxes.box[:, 2] - boxes.box[:, 0]), 0] * 2
    for wrong in (turned, rolled, aside):
        assert len(misplaced(replace(boxes, box=wrong), answer, 0)) > 0.2 * len(boxes)


def test_a_grid_covers_its_area_row_by_row():
    grid = grid_boxes((60, 40), (2, 3))
    assert grid.box.tolist() == [
        [0, 0, 20, 20], [20, 0, 40, 20], [40, 0, 60, 20], [0, 20, 20, 40], [20, 20, 40, 40], [40, 20, 60, 40],
    ]  # fmt: skip
    assert grid.row.tolist() == [0, 0, 0, 1, 1, 1] and grid.column.tolist() == [0, 1, 2] * 2
    assert grid.unseen == 0


def test_newlines_end_rows_and_have_no_place():
    grid = grid_boxes((60, 40), (2, 2), newlines=True)
    assert grid.view.tolist() == [MAIN, MAIN, NEWLINE] * 2 and np.isnan(grid.box[2]).all()
    assert grid.column.tolist() == [0, 1, -1] * 2 and len(grid) == 6


def test_tiles_follow_one_another():
    found = tiles((40, 20), (1, 2), 2)
    assert found[1].box.tolist() == [[20, 0, 30, 10], [30, 0, 40, 10], [20, 10, 30, 20], [30, 10, 40, 20]]
    assert found[1].column.tolist() == [2, 3, 2, 3]


def test_what_a_centre_crop_cuts_away_is_said():
    """128 x 80: the short side becomes 32, the long one 51; 32 of 51 columns are seen."""
    model = build_vision("llava")
    boxes = token_boxes(model, image_processor("llava"), (128, 80), {})
    assert boxes.unseen == pytest.approx(1 - 32 / 51)
    assert boxes.box[0, 0] == pytest.approx(9 * 128 / 51)
    assert (boxes.view != WHOLE).all()


def test_unknown_families_are_refused():
    model = build_vision("llava")
    model.config.model_type = "another"
    with pytest.raises(an.AnalysisError, match="another"):
        token_boxes(model, image_processor("llava"), (10, 10), {})
