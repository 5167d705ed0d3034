"""From the tower's patches to visual tokens: which patches each token is made of, and what they show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.models.library_parts import best_canvas, window_order
from analysis.visual_tokens.boxes import MAIN, NEWLINE, WHOLE, TokenBoxes
from analysis.visual_tokens.positions import tower_side

_LEVELS = 256


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of the tower and the tokens that they become.

    Parameters
    ----------
    token : torch.Tensor
        (B, n) of int64: for each of the B pictures that the tower sees and each of its n patches, in the order
        inside the tower, the token with a place; -1 for patches of padding that become none.
    n_tokens : int
        Tokens with a place, N.
    """

    token: Tensor
    n_tokens: int

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the patches of each token: (N, ...) from (B, n, ...)."""
        flat, token = values.flatten(0, 1), self.token.flatten().to(values.device)
        there = token >= 0
        total = flat.new_zeros(self.n_tokens, *flat.shape[1:]).index_add_(0, token[there], flat[there])
        count = torch.bincount(token[there], minlength=self.n_tokens).to(flat.dtype)
        return total / count.reshape(-1, *[1] * (flat.ndim - 1))

    def picture(self) -> Tensor:
        """Number of the tower's picture that each token comes from, (N,) of int64."""
        there = self.token >= 0
        number = torch.arange(len(self.token))[:, None].expand_as(self.token)
        found = torch.zeros(self.n_tokens, dtype=torch.int64)
        found[self.token[there]] = number[there]
        return found


def token_patches(model: Any, boxes: TokenBoxes) -> Patches | None:
    """Tell which token each patch of the tower becomes.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Of a family that :func:`analysis.visual_tokens.positions.token_boxes` knows.
    boxes : TokenBoxes
        Of that function.

    Returns
    -------
    Patches or None
        None where a token is a mixture of patches that others have a part of too: OneVision on very large
        pictures.
    """
    config = model.config
    n_tokens = int((boxes.view != NEWLINE).sum())
    token: Tensor | None
    if config.model_type.startswith("qwen"):
        token = _qwen(config, boxes)
    elif config.model_type in ("llava_next", "llava_onevision"):
        token = _canvas(config, boxes)
    else:
        token = _blocks(config, n_tokens)
    return None if token is None else Patches(token, n_tokens)


def crops(boxes: TokenBoxes, patches: Patches | None) -> Tensor | None:
    """Crop of each token with a place: 0 for the whole picture seen small, then 1, 2, ...; None if it is seen once.

    Parameters
    ----------
    boxes : TokenBoxes
    patches : Patches, optional
        Of :func:`token_patches`; without them all crops count as one.
    """
    place = boxes.view != NEWLINE
    small = torch.as_tensor(boxes.view[place] == WHOLE)
    if not small.any():
        return None
    number = (~small).long() if patches is None else patches.picture()
    # where the whole picture comes last, the first crop has the number 0
    return torch.where(small, 0, number + int(number[~small].min() == 0))


def grey_entropy(pixels: Tensor, patch: int, patches: Patches) -> Tensor:
    """Entropy of the grey levels in each token's patches, in nats, (N,).

    Parameters
    ----------
    pixels : torch.Tensor
        (..., 3, height, width) as the tower gets them, or (n, v), all values of each patch.
    patch : int
        Pixels along a side of a patch.
    patches : Patches

    Notes
    -----
    Grey is the mean of the colours as the processor left them, in 256 steps between the darkest and the brightest
    of the input. Of a token of several patches their mean counts.
    """
    if pixels.ndim == 2:
        grey = pixels.float().unflatten(1, (3, -1)).mean(1)[None]
    else:
        flat = pixels.float().flatten(0, -4).mean(1, keepdim=True)
        grey = torch.nn.functional.unfold(flat, patch, stride=patch).mT
    low, high = grey.min(), grey.max()
    level = ((grey - low) / (high - low).clamp(min=1e-12) * (_LEVELS - 1)).round().long()
    share = torch.zeros(*level.shape[:2], _LEVELS).scatter_add_(2, level, torch.ones_like(grey))
    share = share / grey.shape[2]
    entropy = -torch.xlogy(share, share).sum(2)
    if pixels.ndim == 2:  # before the tower the patches of a token stand together
        return entropy.reshape(patches.n_tokens, -1).mean(1)
    return patches.mean(entropy)


def _blocks(config: Any, n_tokens: int) -> Tensor:
    """Towers with a fixed side: tokens are r x r patches, row by row, picture after picture."""
    _, n = tower_side(config)
    r = 1
    if hasattr(config, "scale_factor"):
        r = config.scale_factor
    elif hasattr(config, "downsample_ratio"):
        r = round(1 / config.downsample_ratio)
    elif hasattr(config, "mm_tokens_per_image"):
        r = n // math.isqrt(config.mm_tokens_per_image)
    line = torch.arange(n) // r
    one = (line[:, None] * (n // r) + line).flatten()
    each = (n // r) ** 2
    return one + each * torch.arange(n_tokens // each)[:, None]


def _canvas(config: Any, boxes: TokenBoxes) -> Tensor | None:
    """The whole picture, then crops of a canvas whose padding is cut off, the same number of lines on both sides."""
    side, n = tower_side(config)
    main = boxes.view == MAIN
    rows, columns = int(boxes.row[main].max()) + 1, int(boxes.column[main].max()) + 1
    width, height = boxes.size
    down, across = (pixels // side for pixels in best_canvas((height, width), config.image_grid_pinpoints))
    if rows < down * n and columns < across * n:
        return None
    row, column = torch.arange(down * n) - (down * n - rows) // 2, torch.arange(across * n)
    column = column - (across * n - columns) // 2
    inside = ((row >= 0) & (row < rows))[:, None] & (column >= 0) & (column < columns)
    canvas = torch.where(inside, n * n + row[:, None] * columns + column, -1)
    cut = canvas.reshape(down, n, across, n).transpose(1, 2).reshape(down * across, n * n)
    return torch.cat([torch.arange(n * n)[None], cut])


def _qwen(config: Any, boxes: TokenBoxes) -> Tensor:
    """Blocks of m x m patches stand together; inside the 2.5 tower they go window by window."""
    vision = config.vision_config
    m = vision.spatial_merge_size
    order = torch.arange(len(boxes))
    if config.model_type == "qwen2_5_vl":
        grid = [1, (int(boxes.row.max()) + 1) * m, (int(boxes.column.max()) + 1) * m]
        order = window_order(torch.tensor([grid]), m, vision.window_size, vision.patch_size)
    return order.repeat_interleave(m * m)[None]
