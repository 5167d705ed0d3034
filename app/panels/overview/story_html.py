"""The story of a token as HTML: bars, cells and rows of words. Colours follow a switch of the theme at once."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from math import isfinite
from typing import TYPE_CHECKING

from analysis.drawing.numbers import count, significant
from analysis.drawing.theme import DARK, LIGHT, RAMP_STEPS, Picture, amount_ramp, inks_on, rgb_to_hex
from analysis.pruning_effects.eviction.styles import styles_of
from analysis.story.numbers import BUDGET
from analysis.token_entropy.expected import Word
from analysis.units import Unit, from_nats
from app.widgets.choices_html import percent, word

if TYPE_CHECKING:
    from analysis.story.numbers import AttendedBy, Forgotten, Said

_ROOM = 16
"""Per cent of the width that the words in the bars need."""


def sentence_html(pieces: Iterable[str]) -> str:
    """The sentence; tokens in their own letters."""
    return f"<p>{''.join(word(p) if isinstance(p, Word) else escape(p) for p in pieces)}</p>"


def head(picture: Picture, title: str, said: str = "") -> str:
    """Title line of a part; ``said`` is HTML."""
    return f'<div class="story-head {picture}"><b>{escape(title)}</b><span>{said}</span></div>'


def path_html(path: tuple[Said, ...], unit: Unit) -> str:
    """One cell per layer: its first choice, its entropy as colour, outlined where the output says the same."""
    cells = []
    for said in path:
        step = round((RAMP_STEPS - 1) * said.shade)
        entropy = f"{significant(from_nats(said.entropy, unit))} {unit}"
        cells.append(
            f'<span class="{"same" * said.is_output}" style="{_fill("token_entropy", step)}" '
            f'title="layer {said.layer}, entropy {entropy}">{word(said.name)}</span>'
        )
    ends = f"<div class=story-ends><span>layer {path[0].layer}</span><span>{path[-1].layer}</span></div>"
    return f"<div class=story-path>{''.join(cells)}</div>{ends}"


def attended_html(found: AttendedBy, position: int, n_tokens: int) -> str:
    """What later tokens give, as bars along the text, and the heads that attend most."""
    before = 100 * found.before
    bars = "".join(f'<u style="height:{100 * height:.1f}%"></u>' for height in found.bars)
    label = "before it" if before > _ROOM else ""
    rows = "".join(
        f"<div class=story-attended><span>{count(x.position)}</span>{word(x.name)}"
        f"<span>layer {x.layer}, head {x.head}</span><span>{percent(x.weight)}</span></div>"
        for x in found.strongest
    )
    return (
        f'<div class=story-bars><s style="width:{before:.1f}%">{label}</s>{bars}</div>'
        f'<div class=story-ends><span style="margin-left:{min(before, 80):.1f}%">{count(position)}</span>'
        f"<span>{count(n_tokens - 1)}</span></div>{rows or '<p>No later token attends to it.</p>'}"
    )


def most_html(found: AttendedBy, name: str) -> str:
    """Who gives most, for the title line."""
    return f"{word(name)} {count(found.peak)} gives {percent(found.peak_weight)}"


def forgotten_html(found: Forgotten, highest: float, unit: Unit, needed: str | None) -> str:
    """One row per method: below which share (at most the highest) it loses the token, and what that does to another."""
    column = ""
    if needed is not None:
        column = f"{word(needed)} at {100 * BUDGET:g} %"
    rows = []
    for method, (colour, dash) in zip(
        found.methods, styles_of([m.method for m in found.methods]), strict=True
    ):
        below = _percent_of(method.below) if isfinite(method.below) else f"&gt; {_percent_of(highest)}"
        below = f"&lt; {below}" if method.always else below
        line = {0: "solid", 2: "dotted"}.get(dash[1], "dashed")
        mark = f'<u style="border-top:3px {line} {colour}"></u>'
        surprisal = _information(method.surprisal, unit) if needed is not None else ""
        rows.append(f"<tr><td>{mark}{escape(method.label)}</td><td>{below}</td><td>{surprisal}</td></tr>")
    if needed is not None:
        rows.append(f"<tr><td>full cache</td><td></td><td>{_information(found.full, unit)}</td></tr>")
    return (
        f"<table><thead><tr><th>method</th><th>lost below</th><th>{column}</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _percent_of(share: float) -> str:
    return f"{100 * share:g} %"


def _information(nats: float, unit: Unit) -> str:
    return f"{significant(from_nats(nats, unit))} {unit}" if isfinite(nats) else "refused"


def _fill(picture: Picture, step: int) -> str:
    """Ground and letters of a step of a ramp, in both themes."""
    ground, ink = [], []
    for theme in (LIGHT, DARK):
        row = amount_ramp(picture, theme.name)[step : step + 1]
        ground.append(rgb_to_hex(row[0]))
        ink += inks_on(row, theme)
    return f"background:light-dark({','.join(ground)});color:light-dark({','.join(ink)})"
