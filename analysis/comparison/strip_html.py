"""Both texts token under token as HTML that stands alone, and in a notebook to click on."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.comparison.strips import TwinStrip, twin_strip
from analysis.comparison.twin_payload import pack_twin
from analysis.drawing.labels import runs
from analysis.drawing.numbers import exact
from analysis.drawing.strip import ABSENT, Strip
from analysis.drawing.strip_figure import DrawnFigure
from analysis.drawing.strip_svg import strips_svg
from analysis.drawing.theme import FONT, MONO_FONT, TEXT_SIZE, TOKEN_SIZE, Theme, inks_on, rgb_to_hex, theme
from analysis.drawing.widget import Clickable
from analysis.units import Unit

if TYPE_CHECKING:
    from analysis.comparison.results import Comparison


@dataclass(frozen=True)
class TwinFigure(DrawnFigure, Clickable):
    """Two strips under each other; ``selected`` is the chosen token of A and of B, None while there is none."""

    twin: TwinStrip = field(repr=False)

    view = "TwinView"

    def payload(self) -> bytes:
        """The bytes that it is drawn from, under a key of its own."""
        return pack_twin(self.twin, key=secrets.token_hex(8))

    @property
    def selected(self) -> tuple[int | None, int | None] | None:
        """First token of each side chosen now; None for a side that has none there."""
        item, items = self.widget.selected, self.twin.items
        if item is None:
            return None
        return (
            int(items.start_a[item]) if items.has_a[item] else None,
            int(items.start_b[item]) if items.has_b[item] else None,
        )

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        return self.shown({"text/html": self.html, "text/plain": "two token strips"})


def compared_strips(
    c: Comparison, quantity: str = "surprisal_change", *, unit: Unit = "nats", theme_name: str = "light"
) -> TwinFigure:
    """Both texts token under token, and what changed, as HTML; in a notebook to click on.

    Parameters
    ----------
    c : Comparison
        Two sides.
    quantity : str
        One of :data:`analysis.comparison.quantities.COMPARED_QUANTITIES`.
    unit : {"nats", "bits"}
        Unit of information.
    theme_name : {"light", "dark"}
        Colours.

    Raises
    ------
    AnalysisError
        As :func:`analysis.comparison.strips.twin_strip`.
    """
    caption = f"A: {c.a.spec.subtitle}. B: {c.b.spec.subtitle}."
    twin = twin_strip(c, quantity, unit=unit)
    rows = (twin.a, twin.b, replace(twin.change, cell_text=("",) * len(twin.change.cell_text)))
    look = {"theme_name": theme_name, "caption": caption}

    def drawn(width: float) -> str:
        return strips_svg(rows, (twin.a, twin.change), "ABΔ", width=width, **look)

    return TwinFigure(twin_html(twin, **look), drawn, twin)


def twin_html(twin: TwinStrip, *, theme_name: str = "light", caption: str = "") -> str:
    """HTML of both strips; no script, nothing from outside, every text escaped."""
    colours = theme(theme_name)
    rows = [(strip, *_cells(strip, colours)) for strip in (twin.a, twin.b, twin.change)]
    columns: dict[int, list[int]] = {}
    for item, column in enumerate(twin.items.column.tolist()):
        columns.setdefault(column, []).append(item)
    parts = []
    for column, items in columns.items():
        lines = []
        for k, (strip, fills, inks) in enumerate(rows):
            title = escape("\n".join(_hover(strip, item) for item in items), quote=True)
            text = "" if k == 2 else _shown("" if strip.flags[items[0]] & ABSENT else strip.cell_text[column])
            style = f"background:{_bands([fills[i] for i in items])};color:{inks[items[0]]}"
            lines.append(
                f'<span class="{"d" if k == 2 else "t"}" style="{style}" title="{title}">{text}</span>'
            )
        parts.append(f"<span class=c>{''.join(lines)}</span>")
    scope = "lt" + hashlib.blake2b("".join(parts).encode(), digest_size=4).hexdigest()
    legend = "".join(_legend(strip, colours) for strip in (twin.a, twin.change))
    sides = "".join(f'<b style="color:{colour}">{side}</b>' for side, colour in colours.sides.items())
    note = f"<div class=n>{escape(caption)}</div>" if caption else ""
    return (
        f"<style>{_style(scope, colours)}</style><div class={scope}><div class=l>{sides} under each other {legend}</div>"
        f"<div>{''.join(parts)}</div>{note}</div>"
    )


def _style(scope: str, colours: Theme) -> str:
    hatch = f"repeating-linear-gradient(135deg,{colours.muted}66 0 1px,transparent 1px 4px)"
    rules = (
        f".{scope}{{background:{colours.panel};color:{colours.ink};padding:16px;border-radius:10px;"
        f"border:1px solid {colours.line};font:{TEXT_SIZE}px/1.4 {FONT};--h:{hatch}}}",
        f".{scope} .l{{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center;color:{colours.muted};margin-bottom:8px}}",
        f".{scope} .l u{{width:90px;height:9px;border-radius:4px}}",
        f".{scope} .c{{display:inline-grid;font:{TOKEN_SIZE}px/20px {MONO_FONT};margin-bottom:9px;vertical-align:top}}",
        f".{scope} .c span{{border-radius:3px;min-width:8px}}.{scope} .t{{white-space:pre;min-height:20px}}",
        f".{scope} .d{{height:11px}}.{scope} .t i{{font-style:normal;opacity:.42}}",
        f".{scope} .n{{color:{colours.muted};margin-top:8px}}",
    )
    return "".join(rules)


def _cells(strip: Strip, colours: Theme) -> tuple[list[str], list[str]]:
    """Fill and ink of every item."""
    ramp = strip.dark if colours.name == "dark" else strip.light
    inks = inks_on(ramp, colours)
    share = np.clip((strip.values - strip.low) / ((strip.high - strip.low) or 1.0), 0, 1)
    step = np.where(np.isnan(share), -1, np.floor(np.nan_to_num(share) * (len(ramp) - 1) + 0.5)).astype(int)
    fills = ["var(--h)" if s < 0 else rgb_to_hex(ramp[s]) for s in step.tolist()]
    return fills, [colours.ink if s < 0 else inks[s] for s in step.tolist()]


def _bands(fills: list[str]) -> str:
    """Background of one cell: one colour, or a band for each of its items."""
    if len(fills) == 1 or "var(--h)" in fills:
        return fills[0]
    n = len(fills)
    stops = ",".join(f"{fill} {100 * k / n:.4g}% {100 * (k + 1) / n:.4g}%" for k, fill in enumerate(fills))
    return f"linear-gradient(to right,{stops})"


def _hover(strip: Strip, item: int) -> str:
    value = float(strip.values[item])
    said = strip.missing if np.isnan(value) else f"{exact(value)} {strip.unit}".rstrip()
    detail = f"\n{strip.details[item]}" if strip.details else ""
    return f"{strip.title}: {said}{detail}"


def _shown(text: str) -> str:
    return "".join(
        escape(shown) if kind == "letters" else f"<i>{escape(shown)}</i>"
        for shown, kind in (runs(text) if text else ())
    )


def _legend(strip: Strip, colours: Theme) -> str:
    ramp = strip.dark if colours.name == "dark" else strip.light
    stops = ",".join(rgb_to_hex(ramp[k]) for k in np.linspace(0, len(ramp) - 1, 17).astype(int))
    low, high = strip.ends
    bar = f'<u style="background:linear-gradient(to right,{stops})"></u>'
    return f"<b>{escape(strip.title)}</b> {low}{bar}{escape(high)}"
