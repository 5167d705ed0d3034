"""From visual tokens to rectangles on the picture, family by family: what each processor and each model does with pixels.

Every family here is held by a test that slides a coloured square over a picture and looks which tokens answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.errors import UnsupportedModelError
from analysis.models.library_parts import best_canvas, best_tiles
from analysis.visual_tokens.boxes import WHOLE, TokenBoxes, grid_boxes, joined, tiles


@dataclass(frozen=True, slots=True)
class Given:
    """What made the model's input of a picture, and that input."""

    processor: Any
    inputs: Mapping[str, Any]


def token_boxes(model: Any, processor: Any, size: tuple[int, int], inputs: Mapping[str, Any]) -> TokenBoxes:
    """Rectangles of all positions that bear the image's id, in their order.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A vision-language model.
    processor : object
        Its image given.processor.
    size : tuple of int
        Width and height of the picture that the processor was given.
    inputs : mapping
        What the processor made of it.

    Returns
    -------
    TokenBoxes

    Raises
    ------
    UnsupportedModelError
        If the family is not known here.
    """
    family = model.config.model_type
    if family not in _FAMILIES:
        raise UnsupportedModelError(
            f"Where the visual tokens of {family} lie on a picture is not known here.",
            f"Known: {', '.join(_FAMILIES)}.",
        )
    return _FAMILIES[family](model.config, size, Given(processor, inputs))


Place = Callable[[Any, tuple[int, int], Given], TokenBoxes]


def tower_side(config: Any) -> tuple[int, int]:
    """Pixels of a side of the tower's picture, and patches along it."""
    side, patch = config.vision_config.image_size, config.vision_config.patch_size
    side, patch = (v if isinstance(v, int) else v[0] for v in (side, patch))
    return side, side // patch


def _squashed(config: Any, size: tuple[int, int], _given: Given) -> TokenBoxes:
    """PaliGemma: the picture is squashed to a square."""
    _, n = tower_side(config)
    return grid_boxes(size, (n, n))


def _llava(config: Any, size: tuple[int, int], given: Given) -> TokenBoxes:
    """LLaVA-1.5: the short side fits, the middle is cut out; or, without a cut, squashed to a square."""
    side, n = tower_side(config)
    if not given.processor.do_center_crop:
        return grid_boxes(size, (n, n))
    short = given.processor.size["shortest_edge"]
    # the library's rounding: the long side is cut down to whole pixels
    fitted = tuple(short if side == min(size) else int(short * side / min(size)) for side in size)
    at_x, at_y = ((fitted[0] - side) // 2, (fitted[1] - side) // 2)
    scale_x, scale_y = size[0] / fitted[0], size[1] / fitted[1]
    area = (at_x * scale_x, at_y * scale_y, (at_x + side) * scale_x, (at_y + side) * scale_y)
    return grid_boxes(size, (n, n), area=area)


def _anyres(config: Any, size: tuple[int, int], _given: Given) -> TokenBoxes:
    """LLaVA-NeXT and OneVision: the whole picture squashed, then crops of a canvas that it is fitted into.

    The crops' tokens run row by row over the whole canvas. Rows or columns of padding are taken out, the
    same number on both sides, and each row ends with a newline. OneVision makes very large grids smaller.
    """
    width, height = size
    side, n = tower_side(config)
    high, wide = best_canvas((height, width), config.image_grid_pinpoints)
    rows, columns = high // side * n, wide // side * n
    step = side / n
    if width / height > columns / rows:
        left_rows = int(round(height * (columns / width), 7))
        cut_y, cut_x = (rows - left_rows) // 2, 0
    else:
        left_columns = int(round(width * (rows / height), 7))
        cut_y, cut_x = 0, (columns - left_columns) // 2
    if wide / width < high / height:
        fitted = (wide, min(math.ceil(height * wide / width), high))
    else:
        fitted = (min(math.ceil(width * high / height), wide), high)
    at_x, at_y = (wide - fitted[0]) // 2, (high - fitted[1]) // 2
    scale_x, scale_y = width / fitted[0], height / fitted[1]
    area = (
        (cut_x * step - at_x) * scale_x,
        (cut_y * step - at_y) * scale_y,
        (wide - cut_x * step - at_x) * scale_x,
        (high - cut_y * step - at_y) * scale_y,
    )
    shape = (rows - 2 * cut_y, columns - 2 * cut_x)
    most = getattr(config, "vision_aspect_ratio", "")
    if most.startswith("anyres_max_"):
        ratio = math.sqrt(shape[0] * shape[1] / (int(most.removeprefix("anyres_max_")) * n**2))
        if ratio > 1.1:
            shape = (int(shape[0] // ratio), int(shape[1] // ratio))
    whole = grid_boxes(size, (n, n), view=WHOLE)
    return joined([whole, grid_boxes(size, shape, area=area, newlines=True)])


def _idefics(config: Any, size: tuple[int, int], given: Given) -> TokenBoxes:
    """Idefics3 and SmolVLM: tiles of the stretched picture, then the whole picture."""
    _, n = tower_side(config)
    n //= config.scale_factor
    _, rows, columns = given.processor.get_number_of_image_patches(size[1], size[0], {})
    if not rows:
        return grid_boxes(size, (n, n))
    return joined([*tiles(size, (rows, columns), n), grid_boxes(size, (n, n), view=WHOLE)])


def _qwen(config: Any, size: tuple[int, int], given: Given) -> TokenBoxes:
    """Qwen-VL: stretched to whole tokens; a token is a block of patches."""
    _, high, wide = (int(v) for v in given.inputs["image_grid_thw"][0])
    merged = config.vision_config.spatial_merge_size
    return grid_boxes(size, (high // merged, wide // merged))


def _gemma(config: Any, size: tuple[int, int], given: Given) -> TokenBoxes:
    """Gemma 3: squashed to a square, patches averaged. Its pan-and-scan crops are not known here."""
    if getattr(given.processor, "do_pan_and_scan", False):
        raise UnsupportedModelError(
            "Pan and scan cuts the picture in a way that is not known here.", "Switch do_pan_and_scan off."
        )
    n = math.isqrt(config.mm_tokens_per_image)
    return grid_boxes(size, (n, n))


def _internvl(config: Any, size: tuple[int, int], given: Given) -> TokenBoxes:
    """InternVL: tiles of the stretched picture, then a thumbnail if there is more than one."""
    side, n = tower_side(config)
    n = round(n * config.downsample_ratio)
    layout = (1, 1)
    if given.processor.crop_to_patches:
        columns, rows = best_tiles(
            (size[1], size[0]), (side, side), given.processor.min_patches, given.processor.max_patches
        )
        layout = (rows, columns)
    if layout == (1, 1):
        return grid_boxes(size, (n, n))
    return joined([*tiles(size, layout, n), grid_boxes(size, (n, n), view=WHOLE)])


_FAMILIES: dict[str, Place] = {
    "llava": _llava,
    "llava_next": _anyres,
    "llava_onevision": _anyres,
    "idefics3": _idefics,
    "smolvlm": _idefics,
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "qwen3_vl": _qwen,
    "gemma3": _gemma,
    "internvl": _internvl,
    "paligemma": _squashed,
}
KNOWN_FAMILIES = tuple(_FAMILIES)
"""``model_type`` of the families whose visual tokens have a known place."""
