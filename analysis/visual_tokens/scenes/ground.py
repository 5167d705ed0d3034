"""Backgrounds: a grey with a tint, a texture over it, and patches of specks and hatching in the colours of the shapes."""

from __future__ import annotations

import numpy as np

from analysis.visual_tokens.scenes.dice import Dice
from analysis.visual_tokens.scenes.plan import SIDE
from analysis.visual_tokens.scenes.words import COLOURS

_X = np.arange(SIDE, dtype=np.int32)[None, :]
_Y = np.arange(SIDE, dtype=np.int32)[:, None]
_SLOPES = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 1), (1, 2), (2, -1), (1, -2))


def paint_ground(dice: Dice, grain: np.ndarray, dark: bool) -> np.ndarray:
    """Paint a background.

    Parameters
    ----------
    dice : Dice
    grain : numpy.ndarray
        (96, 96) of int32, 0 to 255: noise that no two scenes share.
    dark : bool

    Returns
    -------
    numpy.ndarray
        (96, 96, 3) of int32. Values may lie outside 0 to 255 before they are cut there.
    """
    level = dice.between(26, 92) if dark else dice.between(148, 214)
    base = np.array([level + dice.between(-14, 14) for _ in range(3)], np.int32)
    ground = base + _texture(dice)[..., None]
    for _ in range(dice.below(4)):
        _distract(dice, ground, grain)
    return ground


def _texture(dice: Dice) -> np.ndarray:
    """(96, 96) of int32 around 0: stripes, squares, blotches, a slope, or nothing."""
    strength = dice.between(8, 24)
    a, b = dice.pick(_SLOPES)
    period = dice.between(4, 11)
    kind = dice.below(5)
    if kind == 0:
        return ((((a * _X + b * _Y) % period) * 2 < period) * 2 - 1) * strength
    if kind == 1:
        return (((_X // period + _Y // period) % 2) * 2 - 1) * strength
    if kind == 2:
        cells = [dice.between(-strength, strength) for _ in range(64)]
        return np.array(cells, np.int32).reshape(8, 8).repeat(SIDE // 8, 0).repeat(SIDE // 8, 1)
    if kind == 3:
        return (a * _X + b * _Y) * strength // SIDE
    return np.zeros((SIDE, SIDE), np.int32)


def _distract(dice: Dice, ground: np.ndarray, grain: np.ndarray) -> None:
    """Put specks or hatching in a shape's colour into a rectangle: colour alone does not make a shape."""
    width, height = dice.between(14, 40), dice.between(14, 40)
    x, y = dice.below(SIDE - width), dice.below(SIDE - height)
    rgb = np.array(COLOURS[dice.pick(tuple(COLOURS))], np.int32)
    cover = dice.between(110, 230)
    a, b = dice.pick(_SLOPES)
    period = dice.between(4, 7)
    across, down = slice(x, x + width), slice(y, y + height)
    if dice.chance(0.5):
        marked = (a * _X[:, across] + b * _Y[down]) % period == 0
    else:
        marked = grain[down, across] < dice.between(16, 48)
    region = ground[down, across]
    region += ((rgb - region) * (marked * cover)[..., None]) >> 8
