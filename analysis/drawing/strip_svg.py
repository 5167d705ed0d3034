"""The token strip as SVG of a given width, in a shipped font: for print, and where a page may hold no style."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from analysis.drawing.fonts import MONO, SANS, width_of
from analysis.drawing.labels import runs
from analysis.drawing.strip import ABSENT, MARKED, SPAN, SPECIAL, Strip
from analysis.drawing.strip_html import ramp_steps
from analysis.drawing.theme import LABEL_SIZE, RAMP_STEPS, TOKEN_SIZE, Theme, inks_on, rgb_to_hex, theme
from analysis.results.tokens import printable

LINE, CELL, TOP, EDGE = 28, 20, 5, 4
"""Pixels of a line, of the cell in it, above the cell, and left and right of the text; as on the canvas."""
STRENGTH = {"letters": 1.0, "sign": 0.42, "spelled": 0.65}
"""Opacity of what stands for a space and of a spelled code point, as on the canvas."""
_ADVANCE = width_of("0", TOKEN_SIZE, MONO)
_HATCH = (
    '<pattern id="h" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="1" height="5" fill="{ink}" fill-opacity=".34"/></pattern>'
)


@dataclass(frozen=True)
class Box:
    """A stretch of a cell on one line."""

    cell: int
    piece: str
    x: float
    row: int
    width: float


@dataclass(frozen=True)
class Place:
    """A rectangle on the picture."""

    x: float
    y: float
    width: float
    height: float


def strip_svg(strip: Strip, *, width: float, theme_name: str = "light", caption: str = "") -> str:
    """Draw a strip as SVG.

    Parameters
    ----------
    strip : Strip
        What to draw.
    width : float
        Pixels of the whole picture; its height follows from the text.
    theme_name : {"light", "dark"}
        Colours.
    caption : str, default ""
        Small text under the strip.

    Returns
    -------
    str
        One ``<svg>`` without script, style sheet or reference to anything outside.

    Notes
    -----
    Type is DejaVu Sans Mono; a writing that it lacks is drawn in a font of the machine, on two advances where it is
    wide.
    """
    return strips_svg([strip], [strip], "", width=width, theme_name=theme_name, caption=caption)


def strips_svg(
    strips: Sequence[Strip],
    explained: Sequence[Strip],
    labels: str,
    *,
    width: float,
    theme_name: str = "light",
    caption: str = "",
) -> str:
    """Strips of the same cells under one another.

    Parameters
    ----------
    strips : sequence of Strip
        Upper to lower; one without a text of its own is half as high.
    explained : sequence of Strip
        Those whose colours and marks the legend names.
    labels : str
        A letter for each strip, left of every line; none if empty.
    width, theme_name, caption
        As for :func:`strip_svg`.
    """
    colours = theme(theme_name)
    cells = strips[0].cell_text
    bounds = np.searchsorted(np.asarray(strips[0].cell), np.arange(len(cells) + 1)).tolist()
    left = EDGE + (14 if labels else 0)
    words = [max((strip.cell_text[c] for strip in strips), key=_advance) for c in range(len(cells))]
    boxes = list(_boxes(words, bounds, width - left - EDGE, breaks=len(strips) == 1))
    heights = [CELL if any(strip.cell_text) else CELL // 2 for strip in strips]
    line = LINE - CELL + sum(heights) + len(strips) - 1
    legend = _Legend(colours, width)
    for strip in explained:
        legend.explain(strip)
    out = [f"<defs>{_HATCH.format(ink=colours.muted)}</defs>", *legend.out]
    first = legend.y + LABEL_SIZE
    n_rows = boxes[-1].row + 1 if boxes else 1
    for k, strip in enumerate(strips):
        ramp = np.asarray(strip.dark if colours.name == "dark" else strip.light)
        steps, inks = ramp_steps(strip).tolist(), inks_on(ramp, colours)
        top = first + TOP + sum(heights[:k]) + k
        for box in boxes:
            part = slice(bounds[box.cell], bounds[box.cell + 1])
            place = Place(left + box.x, top + box.row * line, box.width, heights[k])
            absent = part.start < part.stop and bool(strip.flags[part.start] & ABSENT)
            text = box.piece if len(strips) == 1 else strip.cell_text[box.cell]
            out += _grounds(place, [rgb_to_hex(ramp[s]) if s >= 0 else "url(#h)" for s in steps[part]])
            middle = steps[part][len(steps[part]) // 2] if steps[part] else -1
            out += _written("" if absent else text, place, inks[middle] if middle >= 0 else colours.ink)
            out += _marks(np.asarray(strip.flags[part]).tolist(), place, colours)
        for row in range(n_rows if labels else 0):
            ink = colours.sides.get(labels[k], colours.muted)
            out.append(_text(labels[k], EDGE, top + row * line + heights[k] / 2, LABEL_SIZE, ink))
    if not boxes:
        out.append(_text("No tokens", EDGE, first + LINE / 2, LABEL_SIZE, colours.ink))
    y = first + n_rows * line + TOP
    for written in _wrapped(printable(caption), width - 2 * EDGE):
        out.append(_text(written, EDGE, y + 0.7 * LABEL_SIZE, LABEL_SIZE, colours.muted))
        y += 1.4 * LABEL_SIZE
    size = f'width="{width:g}" height="{y + EDGE:g}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {y + EDGE:g}">'
        f'<rect {size} fill="{colours.panel}"/>{"".join(out)}</svg>'
    )


def _units(char: str) -> int:
    """Advances that a character takes in a font of one width."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _advance(text: str) -> float:
    return _ADVANCE * sum(_units(char) for shown, _ in runs(text) for char in shown)


def _boxes(words: Sequence[str], bounds: Sequence[int], width: float, *, breaks: bool) -> Iterator[Box]:
    """Place every cell: on the line if it fits there, on the next one if not, over several if it is too wide."""
    x, row = 0.0, 0
    for cell, word in enumerate(words):
        pieces = re.findall(r"[^\n]*\n|[^\n]+", word) if breaks else [word]
        for piece in pieces or [""]:
            for part in _parts(piece, width):
                parts = bounds[cell + 1] - bounds[cell]
                wide = min(width, max(_advance(part), 6.0, 8.0 * parts * (parts > 1)))
                if x and x + wide > width:
                    x, row = 0.0, row + 1
                yield Box(cell, part, x, row, wide)
                x += wide
            if breaks and piece.endswith("\n"):
                x, row = 0.0, row + 1


def _parts(piece: str, width: float) -> list[str]:
    """A piece cut where it is wider than a line."""
    if _advance(piece) <= width:
        return [piece]
    out, used = [""], 0.0
    for char in piece:
        wide = _advance(char)
        if out[-1] and used + wide > width:
            out.append("")
            used = 0.0
        out[-1] += char
        used += wide
    return out


def _grounds(place: Place, fills: Sequence[str]) -> Iterator[str]:
    """Ground of a cell, one for each of its tokens."""
    part = place.width / max(1, len(fills))
    for k, fill in enumerate(fills):
        wide = part - (k == len(fills) - 1)
        round_ = ' rx="3"' if len(fills) == 1 else ""
        yield f'<rect x="{place.x + k * part:.2f}" y="{place.y:.2f}" width="{wide:.2f}" height="{place.height:g}"{round_} fill="{fill}"/>'


def _written(text: str, place: Place, ink: str) -> Iterator[str]:
    x = place.x
    for shown, kind in runs(text) if text else ():
        yield _text(
            shown, x, place.y + place.height / 2, TOKEN_SIZE, ink, family=MONO, opacity=STRENGTH[kind]
        )
        x += _ADVANCE * sum(map(_units, shown))


def _marks(flags: Sequence[int], place: Place, colours: Theme) -> Iterator[str]:
    """Lines under the tokens of a cell, marks above them, and the frame of a special one."""
    part = place.width / max(1, len(flags))
    for k, flag in enumerate(flags):
        x, under = place.x + k * part, place.y + place.height + 1
        if flag & SPAN:
            yield f'<rect x="{x:.2f}" y="{under:.2f}" width="{part:.2f}" height="2" fill="{colours.ink}"/>'
        if flag & MARKED:
            left = x + min(part, 2 * _ADVANCE) / 2 - 4
            yield f'<path d="M{left:.2f} {place.y - TOP:.2f}h8l-4 5z" fill="{colours.ink}"/>'
    if flags and flags[0] & SPECIAL:
        size = f'width="{place.width - 2:.2f}" height="{place.height - 1:g}"'
        at = f'x="{place.x + 0.5:.2f}" y="{place.y + 0.5:.2f}"'
        yield f'<rect {at} {size} rx="3" fill="none" stroke="{colours.muted}" stroke-dasharray="3 2"/>'


def _text(
    text: str, x: float, middle: float, size: float, ink: str, *, family: str = SANS, opacity: float = 1.0
) -> str:
    """A text on one line, in the middle of a height: a third of the size above its baseline."""
    faint = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
    return (
        f'<text x="{x:.2f}" y="{middle + 0.35 * size:.2f}" font-family="{family}" font-size="{size:g}" fill="{ink}"{faint}'
        f' xml:space="preserve">{escape(text)}</text>'
    )


class _Legend:
    """What colours and marks mean, entry after entry, from line to line."""

    def __init__(self, colours: Theme, width: float) -> None:
        self.colours, self.right = colours, width - EDGE
        self.x, self.y = float(EDGE), EDGE + 0.8 * LABEL_SIZE
        self.out: list[str] = []

    def put(self, swatch: str, wide: float, name: str, ink: str = "") -> None:
        """A swatch drawn around (0, 0) from there to the right, and its name."""
        lead = wide + 6 if wide else 0
        needs = lead + width_of(name, LABEL_SIZE)
        if self.x > EDGE and self.x + needs > self.right:
            self.x, self.y = float(EDGE), self.y + 1.6 * LABEL_SIZE
        if swatch:
            self.out.append(f'<g transform="translate({self.x:.2f} {self.y:.2f})">{swatch}</g>')
        self.out.append(_text(name, self.x + lead, self.y, LABEL_SIZE, ink or self.colours.muted))
        self.x += needs + 14

    def explain(self, strip: Strip) -> None:
        """The entries of a strip."""
        colours = self.colours
        ramp = np.asarray(strip.dark if colours.name == "dark" else strip.light)
        if strip.title:
            self.put("", 0, printable(strip.title), colours.ink)
        last = RAMP_STEPS - 1
        if strip.buckets:
            for k, name in enumerate(strip.buckets):
                self.put(
                    _square(rgb_to_hex(ramp[round(k / max(1, len(strip.buckets) - 1) * last)])), 12, name
                )
        else:
            low, high = strip.ends
            lead = width_of(low, LABEL_SIZE) + 6
            bars = "".join(
                f'<rect x="{lead + 4.5 * k:.2f}" y="-5" width="4.7" height="10" fill="{rgb_to_hex(ramp[round(k / 15 * last)])}"/>'
                for k in range(16)
            )
            ends = _text(low, 0, 0, LABEL_SIZE, colours.muted) + bars
            self.put(ends, lead + 72, printable(high))
        if strip.missing and bool(np.isnan(strip.values).any()):
            self.put(_square("url(#h)"), 12, printable(strip.missing))
        if strip.marked:
            self.put(f'<path d="M0 -3h8l-4 5z" fill="{colours.ink}"/>', 8, printable(strip.marked))
        if strip.span:
            self.put(f'<rect y="-1" width="16" height="2" fill="{colours.ink}"/>', 16, printable(strip.span))
        if bool((np.asarray(strip.flags) & SPECIAL).any()):
            frame = f'<rect x=".5" y="-5.5" width="11" height="11" rx="3" fill="none" stroke="{colours.muted}" stroke-dasharray="3 2"/>'
            self.put(frame, 12, printable(strip.special))


def _square(fill: str) -> str:
    return f'<rect y="-6" width="12" height="12" rx="3" fill="{fill}"/>'


def _wrapped(text: str, width: float) -> list[str]:
    """Lines of a small text, each no wider than a width unless a word is."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, LABEL_SIZE) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
