"""Values of visual tokens on the picture they stand for: every map of the page is this one. Values in, figures out."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import Picture, Theme, theme
from analysis.visual_tokens.choice_marks import clickable
from analysis.visual_tokens.images import to_png

if TYPE_CHECKING:
    from analysis.visual_tokens.results import SeenPicture

SIDE = 316
"""Pixels of a map's longer side: two beside each other in a page, one in a narrow window."""
SMALL = 300
"""The same where a map has a card beside it."""
_SHARPEST = 2 * SIDE
"""Pixels of the longer side of the picture in a figure's file; larger ones are made smaller."""
_FADED = 0.45
"""How much of the picture is left under values."""
_STRONGEST, _VEIL = 0.88, 0.86
"""How much of a colour covers the picture: of the largest value, and of what is gone."""
Scale = Literal["sqrt", "linear"]


@dataclass(frozen=True, eq=False)
class PatchValues:
    """What is drawn on a picture.

    Parameters
    ----------
    values : numpy.ndarray
        (N,) of float: one value for each visual token; NaN where there is none.
    title : str
        What they are, with their unit.
    colour : str
        The picture of the app whose colour they have.
    scale : {"sqrt", "linear"}
        Square root where few tokens have most.
    text_format : str
        D3 format of a value, such as ".2%".
    signed : bool
        Whether 0 is the middle: then blue is below, orange above.
    top : float, optional
        What has the strongest colour, where several maps share a scale; the largest value by default.
    """

    values: np.ndarray
    title: str
    colour: Picture = "attention_sinks"
    scale: Scale = "sqrt"
    text_format: str = ".3~g"
    signed: bool = False
    top: float | None = None


def patch_frame(picture: SeenPicture, values: np.ndarray | None = None, name: str = "value") -> pd.DataFrame:
    """Table of the visual tokens: number, row, column, rectangle in pixels, and a value."""
    frame = pd.DataFrame(
        {
            "position": np.arange(len(picture.boxes)),
            "row": picture.row,
            "column": picture.column,
            **dict(zip(("left", "top", "right", "bottom"), np.asarray(picture.boxes, float).T, strict=True)),
        }
    )
    if values is not None:
        frame[name] = np.asarray(values, float)
    return frame


def picture_map(
    picture: SeenPicture,
    drawn: PatchValues | None = None,
    *,
    theme_name: str = "light",
    patch: int | None = None,
    gone: np.ndarray | None = None,
    marked: np.ndarray | None = None,
    whole: bool = False,
    side: int = SIDE,
    pick: bool = False,
    notes: tuple[str, ...] = (),
) -> alt.LayerChart:
    """Draw the picture with its visual tokens on it.

    Parameters
    ----------
    picture : SeenPicture
        Of an answer.
    drawn : PatchValues, optional
        Values to draw; without them the picture is shown as it is.
    theme_name : {"light", "dark"}
        Colours.
    patch : int, optional
        Visual token that is outlined.
    gone : numpy.ndarray, optional
        (N,) of bool: tokens under a veil, because they were pruned.
    marked : numpy.ndarray, optional
        (N,) of bool: tokens with a dashed frame, such as sinks.
    whole : bool
        Where a model saw the picture in crops and small as well: the tokens of the small one.
    side : int
        Pixels of the longer side.
    pick : bool
        Whether a click selects ``position`` under the name ``pick``.
    notes : tuple of str
        What is said of each token under the pointer, N of them.
    """
    alt.data_transformers.disable_max_rows()
    colours = theme(theme_name)
    x = alt.Scale(domain=[0, picture.width], nice=False)
    y = alt.Scale(domain=[picture.height, 0], nice=False)
    frame = patch_frame(picture, None if drawn is None else drawn.values)
    if notes:
        frame["note"] = notes
    frame = frame[picture.main[frame["position"]] != whole]
    layers: list[Any] = [_photograph(picture, x, y, 1.0 if drawn is None else _FADED)]
    layers.append(_cells(frame, drawn, x, y, colours, pick))
    if gone is not None:
        layers.append(_veil(frame[gone[frame["position"]]], x, y, colours))
    if marked is not None:
        layers += _outlines(frame[marked[frame["position"]]], x, y, colours, dashed=True)
    if patch is not None:
        layers += _outlines(frame[frame["position"] == patch], x, y, colours)
    across, up = _size(picture, side)
    whole_size = alt.AutoSizeParams(
        type="pad", contains="content"
    )  # the legend takes nothing from the picture
    drawing = alt.layer(*layers).properties(width=across, height=up, autosize=whole_size)
    return styled(drawing, theme_name)


def _size(picture: SeenPicture, side: int) -> tuple[int, int]:
    """Width and height of a drawing whose longer side is given."""
    longer = max(picture.width, picture.height)
    return max(1, round(side * picture.width / longer)), max(1, round(side * picture.height / longer))


def _photograph(picture: SeenPicture, x: Any, y: Any, left: float) -> Any:
    """The pixels, as much of them as is left under values."""
    place = pd.DataFrame({"x": [picture.width / 2], "y": [picture.height / 2], "url": [data_url(picture)]})
    return (
        alt.Chart(place)
        .mark_image(
            width=alt.ExprRef("width"),
            height=alt.ExprRef("height"),
            aspect=False,
            smooth=picture.width >= SIDE,
            opacity=left,
        )
        .encode(
            x=alt.X("x:Q", scale=x, axis=None, title=None),
            y=alt.Y("y:Q", scale=y, axis=None, title=None),
            url="url:N",
        )
    )


def data_url(picture: SeenPicture) -> str:
    """The pixels as an address that holds them: encoded anew, nothing but pixels, and smaller where they are many."""
    from PIL import Image

    image: Image.Image = Image.open(io.BytesIO(picture.png), formats=("PNG",))
    image = image.convert("RGB")
    if max(image.size) > _SHARPEST:
        image.thumbnail((_SHARPEST, _SHARPEST))
    return f"data:image/png;base64,{base64.b64encode(to_png(image)).decode()}"


def _rectangles(frame: pd.DataFrame, x: Any, y: Any, **mark: Any) -> Any:
    return (
        alt.Chart(frame)
        .mark_rect(**mark)
        .encode(
            x=alt.X("left:Q", scale=x, axis=None, title=None),
            y=alt.Y("top:Q", scale=y, axis=None, title=None),
            x2="right:Q",
            y2="bottom:Q",
        )
    )


def _cells(frame: pd.DataFrame, drawn: PatchValues | None, x: Any, y: Any, colours: Theme, pick: bool) -> Any:
    """A rectangle for each token: its value in colour, or none; a click may choose it."""
    frame = frame.assign(from_top=frame["row"] + 1, from_left=frame["column"] + 1)
    hover: list[Any] = [alt.Tooltip("position:Q", title="patch"),
                        alt.Tooltip("from_top:Q", title="row"), alt.Tooltip("from_left:Q", title="column")]  # fmt: skip
    hover += [alt.Tooltip("note:N", title="what became of it")] if "note" in frame else []
    if drawn is None:
        chart = _rectangles(frame, x, y, fillOpacity=0, fill=colours.panel).encode(tooltip=hover)
    else:
        hover.append(alt.Tooltip("value:Q", title=drawn.title, format=drawn.text_format))
        chart = _rectangles(frame, x, y).encode(
            fill=alt.Fill(
                "value:Q",
                title=drawn.title,
                scale=_ramp(drawn, colours),
                legend=alt.Legend(
                    orient="bottom", direction="horizontal", gradientLength=180, gradientThickness=8,
                    tickCount=3, format=drawn.text_format, titleLimit=320,
                ),
            ),
            tooltip=hover,
        )  # fmt: skip
    if pick:
        chart = clickable(chart, "position")
    return chart


def _ramp(drawn: PatchValues, colours: Theme) -> alt.Scale:
    """From clear to the colour; with a sign from blue over clear to orange."""
    known = np.abs(drawn.values[np.isfinite(drawn.values)])
    top = max(float(known.max(initial=0.0)) if drawn.top is None else drawn.top, 1e-9)
    if drawn.signed:
        ends = [_clear(colours.negative, _STRONGEST), _clear(colours.panel, 0.15), _clear(colours.positive, _STRONGEST)]  # fmt: skip
        return alt.Scale(domain=[-top, 0, top], range=ends, interpolate="rgb", clamp=True)
    hue = colours.pictures[drawn.colour]
    return alt.Scale(
        type="pow",
        exponent=0.5 if drawn.scale == "sqrt" else 1,
        domain=[0, top],
        range=[_clear(hue, 0.0), _clear(hue, _STRONGEST)],
        interpolate="rgb",
        clamp=True,
    )


def _clear(colour: str, share: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {share})"


def _veil(frame: pd.DataFrame, x: Any, y: Any, colours: Theme) -> Any:
    """What is gone, under the panel's colour and struck through."""
    veil = _rectangles(frame, x, y, fill=colours.panel, fillOpacity=_VEIL, tooltip=None)
    cross = (
        alt.Chart(frame)
        .mark_rule(color=colours.muted, opacity=0.45, strokeWidth=0.8, tooltip=None)
        .encode(
            x=alt.X("left:Q", scale=x, axis=None, title=None),
            y=alt.Y("bottom:Q", scale=y, axis=None, title=None),
            x2="right:Q",
            y2="top:Q",
        )
    )
    return alt.layer(veil, cross)


def _outlines(frame: pd.DataFrame, x: Any, y: Any, colours: Theme, *, dashed: bool = False) -> list[Any]:
    """A frame in ink on a halo in the panel's colour, so that it is seen on any picture."""
    dash = [3, 2] if dashed else [1, 0]
    return [
        _rectangles(frame, x, y, aria=False, filled=False, stroke=colour, strokeWidth=width, strokeDash=how)
        for colour, width, how in (
            (colours.panel, 3 if dashed else 5, [1, 0]),
            (colours.ink, 1.2 if dashed else 2, dash),
        )
    ]
