"""Sections that reports of several results have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.strips import TwinStrip
from analysis.comparison.twin_payload import pack_twin
from analysis.drawing.charts import MAX_POINTS
from analysis.drawing.labels import spelled, visible
from analysis.drawing.numbers import EXACT_DIGITS
from analysis.drawing.strip import Strip
from analysis.drawing.strip_payload import pack
from analysis.reports.charts import Linked
from analysis.reports.page import Page, piece, table, words
from analysis.results.token_quantities import quantities_of
from analysis.results.tokens import TokenTrace
from analysis.results.trace import Check
from analysis.units import Unit, unit_label


def add_strips(page: Page, title: str, strips: Mapping[str, Strip | TwinStrip], *, caption: str = "") -> None:
    """One text, or two of them token under token, in several colours, by the name of each."""
    page.first |= {
        f"strip.{name}": pack_twin(strip) if isinstance(strip, TwinStrip) else pack(strip)
        for name, strip in strips.items()
    }
    two = any(isinstance(strip, TwinStrip) for strip in strips.values())
    choices = "".join(f'<option value="{k}">{words(name)}</option>' for k, name in enumerate(strips))
    chooser = (
        f'<label>Colour by <select autocomplete="off">{choices}</select></label>' if len(strips) > 1 else ""
    )
    options = {"colours": [f"strip.{name}" for name in strips], "two": two}
    page.add(
        title, piece("strip", options, f'{chooser}<div class="canvas"></div>'), caption=caption, place="text"
    )


def add_token(
    page: Page,
    title: str,
    tokens: TokenTrace,
    unit: Unit,
    *,
    prefix: str = "tokens",
    places: np.ndarray | None = None,
    place: str = "narrow",
) -> None:
    """The chosen token: its numbers, and what the model expected.

    Parameters
    ----------
    title, place
        As for :meth:`~.page.Page.add`.
    tokens : TokenTrace
        The text.
    prefix : str
        Of the names of its numbers in the page.
    places : numpy.ndarray of int, optional
        Token that belongs to each choice, -1 for none; a choice is a token by default.
    """
    parts: dict[str, Any] = {
        "top_ids": tokens.top_ids.astype(np.int32),
        "top_logprobs": tokens.top_logprobs.astype(np.float32),
        "token_id": tokens.token_id.astype(np.int32),
        "texts": [visible(text) for text in tokens.text],
        "names": {int(i): visible(name) for i, name in tokens.names.items()},
    }
    quantities = []
    for name, quantity in quantities_of(tokens).items():
        if quantity.stored is not None:
            values = quantity.in_unit(tokens, unit)
            parts[name] = values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
            said = unit_label(unit, power=quantity.power) if quantity.power else ""
            quantities.append({"part": f"{prefix}.{name}", "label": quantity.label, "unit": said})
    page.first |= {f"{prefix}.{name}": part for name, part in parts.items()}
    options = {
        "at": prefix,
        "quantities": quantities,
        "places": None if places is None else places.tolist(),
        "digits": EXACT_DIGITS,
    }
    body = '<h3 class="name"></h3>' + table(("", ""), [], kind="numbers")
    body += table(("token", "probability", " "), [], caption="What the model expected", kind="expected")
    page.add(title, piece("token", options, body), place=place)


def add_checks(
    page: Page,
    checks: tuple[Check, ...],
    notes: tuple[str, ...] = (),
    unavailable: dict[str, str] | None = None,
    *,
    title: str = "Checks",
    place: str = "",
) -> None:
    """What a result checked about itself, what a person should know, and what is missing and why."""
    rows: list[tuple[object, ...]] = [
        (
            "passed" if check.passed else "FAILED",
            check.name,
            f"{check.error:.1e} {check.unit}".strip(),
            f"{check.tolerance:.0e}",
        )
        for check in checks
    ]
    body = (
        table(("", "what should be equal", "largest difference", "allowed"), rows, kind="worded")
        if rows
        else ""
    )
    body += "".join(f"<p>{words(note)}</p>" for note in notes)
    body += "".join(
        f"<p>Not measured: {words(what)}. {words(why)}</p>" for what, why in (unavailable or {}).items()
    )
    page.add(title, body or "<p>None were made.</p>", place=place)


def add_spec(page: Page, settings: dict[str, Any], *, title: str = "Settings") -> None:
    """Everything that decides the numbers."""
    rows: list[tuple[object, ...]] = [
        (name.replace("_", " "), _said(value))
        for name, value in settings.items()
        if value not in ("", None, ())
    ]
    page.add(title, table(("", ""), rows), place="settings")


def _said(value: Any) -> str:
    """A setting in words; in a text what cannot be seen is spelled out."""
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else spelled(str(value))


def ring(frame: pd.DataFrame, x: str, y: str, places: tuple[int, ...] = ()) -> Linked:
    """A ring at the chosen token of a scatter of two columns, which in a long text draws some tokens only.

    Parameters
    ----------
    frame : pandas.DataFrame
        ``position`` and both columns, for every token.
    x, y : str
        Columns across and up.
    places : tuple of int
        As in :class:`~.charts.Linked`.
    """
    known = frame[["position", x, y]].dropna() if len(frame) > MAX_POINTS else frame[:0]
    points = tuple({str(name): value for name, value in row.items()} for row in known.to_dict("records"))
    return Linked("position", x=x, y=y, points=points, places=places)
