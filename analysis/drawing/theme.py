"""Fonts, sizes and colours: one colour per picture, in a light and a dark theme, and the ramps between them.

Style sheets and the app's theme repeat these values; ``tests/figures/test_one_look.py`` holds them equal.

Ramps run in OKLab, where equal steps look equally far apart, so a cell twice as
coloured is twice the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

ThemeName = Literal["light", "dark"]
Picture = Literal["token_entropy", "attention_sinks", "entropy_collapse", "pruning_effects"]

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Inter, 'Noto Sans', 'DejaVu Sans', sans-serif"
MONO_FONT = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
"""Fonts that machines have, so that nothing is fetched."""
TITLE_SIZE, TOKEN_SIZE, TEXT_SIZE, LABEL_SIZE, SMALL_SIZE = 14, 14, 13, 12, 11
"""Pixels of a chart's title, of tokens, of text, of labels on axes and in legends, and inside marks."""
PROJECTOR_SCALE = 20 / 14
"""How much larger everything is written where people sit far away."""

RAMP_STEPS = 256
"""Entries of a ramp: colours are looked up by an 8-bit index."""

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Colours for methods and runs, told apart with every common colour vision."""


@dataclass(frozen=True)
class Theme:
    """The colours of one theme."""

    name: ThemeName
    ink: str
    muted: str
    line: str
    panel: str
    ground: str
    quiet: str
    """Ground of what is empty: the rest of a bar, a place held."""
    pictures: dict[Picture, str]
    """The one colour of each picture."""
    negative: str
    """End of the signed ramp below zero (blue)."""
    positive: str
    """End of the signed ramp above zero (orange)."""
    sides: dict[str, str]
    """A and B of a comparison, in letters, lines and bars."""
    buckets: tuple[str, str, str, str]
    """Four steps for rank buckets, from expected to surprising."""


LIGHT = Theme(
    name="light",
    ink="#1C1D22",
    muted="#676A75",
    line="#E3E1DA",
    panel="#FFFFFF",
    ground="#FBFAF7",
    quiet="#F3F1EA",
    pictures={
        "token_entropy": "#E08A00",
        "attention_sinks": "#4B4ACF",
        "entropy_collapse": "#0B8A83",
        "pruning_effects": "#C2376A",
    },
    negative="#2C6FBB",
    positive="#C65A00",
    sides={"A": "#0072B2", "B": "#B84E00"},
    buckets=("#F3F1EA", "#F6D48F", "#E08A00", "#8A3A00"),
)

DARK = Theme(
    name="dark",
    ink="#ECECF1",
    muted="#9C9FAB",
    line="#30333D",
    panel="#1C1E25",
    ground="#14151A",
    quiet="#252832",
    pictures={
        "token_entropy": "#FFB547",
        "attention_sinks": "#8E8DFF",
        "entropy_collapse": "#3CC9BF",
        "pruning_effects": "#FF7FA8",
    },
    negative="#6FB1FF",
    positive="#FF9D4D",
    sides={"A": "#56B4E9", "B": "#FF9D4D"},
    buckets=("#2A2D36", "#6B5120", "#C98A2B", "#FFE0A8"),
)

_THEMES: dict[str, Theme] = {"light": LIGHT, "dark": DARK}


def theme(name: str) -> Theme:
    """Theme by name; anything but "dark" is the light one."""
    return _THEMES.get(name, LIGHT)


def _hex_to_rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float) / 255


def rgb_to_hex(rgb: Sequence[int] | np.ndarray) -> str:
    """Colour of three 8-bit values as ``#rrggbb``."""
    return "#" + "".join(f"{int(v):02x}" for v in rgb)


def _linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


# Linear sRGB -> cone response -> OKLab (Ottosson 2020).
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _to_oklab(colour: str) -> np.ndarray:
    return _TO_LAB @ np.cbrt(_TO_LMS @ _linear(_hex_to_rgb(colour)))


def _from_oklab(lab: np.ndarray) -> np.ndarray:
    lms = (lab @ np.linalg.inv(_TO_LAB).T) ** 3
    linear = np.clip(lms @ np.linalg.inv(_TO_LMS).T, 0, 1)
    srgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(srgb * 255).astype(np.uint8)


def ramp_through(stops: Sequence[str], steps: int) -> np.ndarray:
    """Ramp through any colours, evenly spaced; uint8, shape (steps, 3)."""
    at = np.linspace(0, len(stops) - 1, steps)
    labs = np.stack([_to_oklab(c) for c in stops])
    low = np.minimum(at.astype(int), len(stops) - 2)
    share = (at - low)[:, None]
    return _from_oklab(labs[low] * (1 - share) + labs[low + 1] * share)


@lru_cache(maxsize=64)
def amount_ramp(picture: Picture, theme_name: ThemeName, steps: int = RAMP_STEPS) -> np.ndarray:
    """Ramp for amounts: from the panel colour to the picture's colour.

    Returns
    -------
    numpy.ndarray, shape (steps, 3), uint8
    """
    colours = theme(theme_name)
    return ramp_through([colours.panel, colours.pictures[picture]], steps)


@lru_cache(maxsize=8)
def signed_ramp(theme_name: ThemeName, steps: int = RAMP_STEPS) -> np.ndarray:
    """Ramp for signed values: blue, neutral at the middle, orange.

    Returns
    -------
    numpy.ndarray, shape (steps, 3), uint8
    """
    colours = theme(theme_name)
    return ramp_through([colours.negative, colours.panel, colours.positive], steps)


def relative_luminance(rgb: np.ndarray) -> np.ndarray:
    """WCAG relative luminance of 8-bit colours, shape (..., 3) -> (...)."""
    return _linear(np.asarray(rgb, dtype=float) / 255) @ np.array([0.2126, 0.7152, 0.0722])


def text_on(rgb: np.ndarray) -> np.ndarray:
    """Whether text on each colour has to be white to keep 4.5 : 1 contrast.

    Returns
    -------
    numpy.ndarray of bool, shape (...)
        True for white text, False for black. One of the two always reaches 4.58 : 1.
    """
    luminance = relative_luminance(rgb)
    return (1.05 / (luminance + 0.05)) > ((luminance + 0.05) / 0.05)


def inks_on(ramp: np.ndarray, colours: Theme) -> list[str]:
    """Text colour of each ramp step: the theme's ink while it reads at 4.5 : 1, else black or white."""
    ink = np.array([int(colours.ink[i : i + 2], 16) for i in (1, 3, 5)])
    ground, own = relative_luminance(ramp), relative_luminance(ink)
    ratio = (np.maximum(ground, own) + 0.05) / (np.minimum(ground, own) + 0.05)
    flip = text_on(ramp)
    return [
        colours.ink if keeps else "#fff" if white else "#000"
        for keeps, white in zip(ratio >= 4.5, flip, strict=True)
    ]


def plotly_scale(ramp: np.ndarray) -> list[list[float | str]]:
    """Ramp as a Plotly colour scale of 17 stops."""
    index = np.linspace(0, len(ramp) - 1, 17).astype(int)
    return [[float(i) / 16, rgb_to_hex(ramp[j])] for i, j in enumerate(index)]
