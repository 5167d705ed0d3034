"""Visual attention sinks by name: which tokens, where on the picture, in which layers, and how they were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.visual_tokens.results import SeenPicture, VisualAnswer


@dataclass(frozen=True)
class VisualSink:
    """A visual token that gets attention whatever is read, or whose state is massive."""

    token: int
    """Number among the visual tokens with a place."""
    where: str
    """Place in words: "top left corner", "left border", "row 3, column 7"."""
    border: bool
    by_attention: tuple[int, ...]
    """Layers in which most rows after the image spend many times an even share on it."""
    by_state: tuple[int, ...]
    """Layers that its state enters massive in one of the model's sink dimensions (L: what leaves the last one)."""
    share: float
    """Of the attention on all visual tokens in the layers in which it is a sink by attention, else in all: mean over
    the rows after the image."""


def named_sinks(answer: VisualAnswer) -> tuple[VisualSink, ...]:
    """Visual sinks of an answer, the one with the largest share first; none in many small models."""
    attended, massive = answer.looking.attended, answer.layers.massive
    received = answer.looking.received.astype(np.float64)
    shares = received / np.maximum(received.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    border = answer.picture.border
    found = []
    for token in np.flatnonzero(attended.any(0) | massive.any(0)).tolist():
        layers = np.flatnonzero(attended[:, token])
        found.append(
            VisualSink(
                token=token,
                where=place_in_words(answer.picture, token),
                border=bool(border[token]),
                by_attention=tuple(layers.tolist()),
                by_state=tuple(np.flatnonzero(massive[:, token]).tolist()),
                share=float(shares[layers if len(layers) else slice(None), token].mean()),
            )
        )
    return tuple(sorted(found, key=lambda sink: -sink.share))


def place_in_words(picture: SeenPicture, token: int) -> str:
    """Where a token lies in its own grid, such as "top left corner", "left border", "row 3, column 7"."""
    crop, row, column = (int(of[token]) for of in (picture.crop, picture.row, picture.column))
    same = picture.crop > 0 if crop else picture.crop == 0
    rows, columns = picture.row[same], picture.column[same]
    vertical = "top" if row == rows.min() else "bottom" if row == rows.max() else ""
    horizontal = "left" if column == columns.min() else "right" if column == columns.max() else ""
    if vertical and horizontal:
        where = f"{vertical} {horizontal} corner"
    elif vertical or horizontal:
        where = f"{vertical or horizontal} border"
    else:
        where = f"row {row + 1}, column {column + 1}"
    beside = (picture.crop > 0).any() and not crop
    return f"{where} of the small whole picture" if beside else where
