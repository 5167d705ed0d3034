"""The token strip as HTML that stands alone: for notebooks and for downloads.

No script, no reference to anything outside. Every text is escaped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path

import numpy as np

from analysis.drawing.labels import SIGNS, runs, spelled
from analysis.drawing.numbers import exact
from analysis.drawing.strip import MARKED, SPAN, SPECIAL, Strip
from analysis.drawing.theme import (
    FONT,
    MONO_FONT,
    RAMP_STEPS,
    TEXT_SIZE,
    TOKEN_SIZE,
    Theme,
    inks_on,
    rgb_to_hex,
    theme,
)
from analysis.results.tokens import printable


@dataclass(frozen=True)
class HtmlFigure:
    """HTML that a notebook shows and :meth:`save` writes."""

    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        return self.html

    def document(self, *, title: str = "Logitscope") -> str:
        """Whole HTML document that says how it is encoded."""
        head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        return f"<!doctype html>\n<html lang=en><head>{head}</head><body>{self.html}</body></html>\n"

    def save(self, path: str | Path, *, title: str = "Logitscope") -> Path:
        """Write a whole HTML document and return its path."""
        target = Path(path)
        target.write_text(self.document(title=title), encoding="utf-8")
        return target


@lru_cache(maxsize=65_536)
def _shown(text: str) -> str:
    """Escaped text of a cell, with faint signs for what cannot be seen and real line breaks."""
    out = []
    for shown, kind in runs(text):
        if kind == "letters":
            out.append(escape(shown))
        else:
            out.append(f"<i{' class=e' * (kind == 'spelled')}>{shown}</i>")
            out.append("<br>" * (shown == SIGNS["\n"]))
    return "".join(out)


def ramp_steps(strip: Strip) -> np.ndarray:
    """Ramp index of each token, -1 where there is no value; int, shape (T,)."""
    values = np.asarray(strip.values, dtype=float)
    if strip.buckets:
        share = values / max(1, len(strip.buckets) - 1)
    else:
        share = (values - strip.low) / ((strip.high - strip.low) or 1.0)
    step = np.floor(np.clip(np.nan_to_num(share), 0, 1) * (RAMP_STEPS - 1) + 0.5).astype(int)
    return np.where(np.isnan(values), -1, step)


def _style(scope: str, colours: Theme, ramp: np.ndarray, used: Sequence[int]) -> str:
    hatch = f"repeating-linear-gradient(135deg,{colours.muted}66 0 1px,transparent 1px 4px)"
    inks = inks_on(ramp, colours)
    rules = [
        f".{scope}{{background:{colours.panel};color:{colours.ink};padding:16px;border-radius:10px;"
        f"border:1px solid {colours.line};font:{TEXT_SIZE}px/1.4 {FONT}}}",
        f".{scope} .l{{display:flex;flex-wrap:wrap;gap:4px 18px;align-items:center;color:{colours.muted};margin-bottom:8px}}",
        f".{scope} .l b{{color:{colours.ink}}}.{scope} .l span{{display:inline-flex;gap:7px;align-items:center}}",
        f".{scope} .l u{{width:13px;height:13px;border-radius:4px;box-shadow:inset 0 0 0 1px {colours.line}}}",
        f".{scope} .l u.r{{width:104px;height:9px}}.{scope} .l u.p{{height:2px;background:{colours.ink};box-shadow:none}}",
        f".{scope} .l u.k{{width:0;height:0;border:4px solid transparent;border-top:6px solid {colours.ink};"
        "border-bottom:0;border-radius:0;box-shadow:none}",
        f".{scope} .t{{font:{TOKEN_SIZE}px/{2 * TOKEN_SIZE}px {MONO_FONT};white-space:pre-wrap;overflow-wrap:anywhere}}",
        f".{scope} .t span{{position:relative;padding:2px 0;border-radius:4px;unicode-bidi:isolate;"
        "-webkit-box-decoration-break:clone;box-decoration-break:clone}",
        f".{scope} .t i{{font-style:normal;opacity:.42}}.{scope} .t i.e{{opacity:.65}}.{scope} .h{{background:{hatch}}}",
        f".{scope} .s{{outline:1px dashed {colours.muted};outline-offset:-1px;font-style:italic}}",
        f".{scope} .m::before{{content:'';position:absolute;left:2px;top:-4px;border:4px solid transparent;"
        f"border-top:5px solid {colours.ink};border-bottom:0}}",
        f".{scope} .w{{border-bottom:2px solid {colours.ink};border-radius:4px 4px 0 0}}",
        f".{scope} .c{{color:{colours.muted};margin-top:8px}}",
    ]
    rules += [f".{scope} .v{k}{{background:{rgb_to_hex(ramp[k])};color:{inks[k]}}}" for k in used]
    return "".join(rules)


def _legend(strip: Strip, ramp: np.ndarray, *, missing: bool, special: bool) -> str:
    out = [f"<b>{escape(printable(strip.title))}</b>"] if strip.title else []

    def entry(swatch: str, name: str) -> None:
        out.append(f"<span>{swatch}{escape(printable(name))}</span>")

    if strip.buckets:
        last = max(1, len(strip.buckets) - 1)
        for k, name in enumerate(strip.buckets):
            colour = rgb_to_hex(ramp[math.floor(k / last * (RAMP_STEPS - 1) + 0.5)])
            entry(f'<u style="background:{colour}"></u>', name)
    else:
        stops = ",".join(rgb_to_hex(ramp[k]) for k in np.linspace(0, RAMP_STEPS - 1, 17).astype(int))
        bar = f'<u class=r style="background:linear-gradient(to right,{stops})"></u>'
        low, high = strip.ends
        out.append(f"<span>{low}{bar}{escape(printable(high))}</span>")
    if missing and strip.missing:
        entry("<u class=h></u>", strip.missing)
    if strip.marked:
        entry("<u class=k></u>", strip.marked)
    if strip.span:
        entry("<u class=p></u>", strip.span)
    if special:
        entry("<u class=s></u>", strip.special)
    return f'<div class="l">{"".join(out)}</div>'


def _said(strip: Strip, token: int, text: str) -> str:
    """Exact value of a token, for the hover."""
    value = float(strip.values[token])
    if math.isnan(value):
        amount = strip.missing or "no value"
    elif strip.buckets:
        amount = strip.buckets[int(value)] if 0 <= int(value) < len(strip.buckets) else f"{value:g}"
    else:
        amount = f"{exact(value)} {strip.unit}".rstrip()
    detail = f"\n{strip.details[token]}" if strip.details and strip.details[token] else ""
    return f"Token {token} {text} {amount}{detail}"


def _gradient(steps: Sequence[int], ramp: np.ndarray, colours: Theme) -> str:
    """Background of a cell with several tokens: one band each, thin lines between."""
    bands, n = [], len(steps)
    for k, step in enumerate(steps):
        colour = rgb_to_hex(ramp[step]) if step >= 0 else colours.line
        low, high = 100 * k / n, 100 * (k + 1) / n
        bands.append(f"{colour} {low:.2f}% calc({high:.2f}% - {1 if k < n - 1 else 0}px)")
        if k < n - 1:
            bands.append(f"{colours.muted} calc({high:.2f}% - 1px) {high:.2f}%")
    return f"linear-gradient(to right,{','.join(bands)})"


def strip_html(strip: Strip, *, theme_name: str = "light", caption: str = "") -> str:
    """Draw a strip as HTML.

    Parameters
    ----------
    strip : Strip
        What to draw.
    theme_name : str, default "light"
        "light" or "dark".
    caption : str, default ""
        Small text under the strip, for example the spec of the run.

    Returns
    -------
    str
        One ``<div>`` with its own style, without script and without outside references.
    """
    colours = theme(theme_name)
    ramp = np.asarray(strip.dark if colours.name == "dark" else strip.light)
    steps, flags = ramp_steps(strip).tolist(), np.asarray(strip.flags).tolist()
    inks = inks_on(ramp, colours)
    bounds = np.searchsorted(np.asarray(strip.cell), np.arange(len(strip.cell_text) + 1)).tolist()
    cells = []
    for c, raw in enumerate(strip.cell_text):
        first, last = bounds[c], bounds[c + 1]
        shown = _shown(raw)
        if first == last:
            cells.append(shown)
            continue
        flag = flags[first]
        for k in range(first + 1, last):
            flag |= flags[k]
        names = f"v{steps[first]}" if steps[first] >= 0 else "h"
        names += (
            (" s" if flag & SPECIAL else "") + (" m" if flag & MARKED else "") + (" w" if flag & SPAN else "")
        )
        style = ""
        if last - first > 1:
            middle = steps[(first + last - 1) // 2]
            ink = inks[middle] if middle >= 0 else colours.ink
            style = f' style="background:{_gradient(steps[first:last], ramp, colours)};color:{ink};padding:2px {2 * (last - first)}px"'
        quoted = json.dumps(spelled(raw), ensure_ascii=False)
        title = "\n".join(_said(strip, i, quoted) for i in range(first, last))
        gap = "<wbr>" if raw[:1].isspace() else ""  # the dots of spaces allow no line break by themselves
        cells.append(f'{gap}<span class="{names}"{style} title="{escape(printable(title))}">{shown}</span>')
    body = "".join(cells) or "No tokens"
    used = sorted({s for s in steps if s >= 0})
    legend = _legend(strip, ramp, missing=-1 in steps, special=any(f & SPECIAL for f in flags))
    below = f'<div class="c">{escape(printable(caption))}</div>' if caption else ""
    inner = f'{legend}<div class="t">{body}</div>{below}'
    scope = "ls" + hashlib.blake2b(f"{colours.name}{inner}".encode(), digest_size=5).hexdigest()
    scope_style = _style(scope, colours, ramp, used)
    return f'<div class="{scope}"><style>{scope_style}</style>{inner}</div>'
