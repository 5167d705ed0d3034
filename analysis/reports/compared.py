"""The report of a comparison: both texts token under token, the chosen token on both sides, how far they are apart."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from analysis.comparison.figures import along_panels, change_quadrants
from analysis.comparison.items import items_of
from analysis.comparison.quantities import quantities_between
from analysis.comparison.results import Comparison
from analysis.comparison.strips import twin_strip
from analysis.comparison.summary import METHOD
from analysis.drawing.charts import styled
from analysis.drawing.numbers import count, significant
from analysis.reports.charts import Linked
from analysis.reports.page import Page, Report, table
from analysis.reports.parts import add_checks, add_spec, add_strips, add_token
from analysis.units import Unit


def comparison_report(c: Comparison, *, unit: Unit = "nats") -> Report:
    """Two sides as one file. A choice is an item: what both sides have, or a token of one side alone.

    Parameters
    ----------
    c : Comparison
        With both its runs.
    unit : {"nats", "bits"}
        Unit of information.
    """
    items = items_of(c)
    strips = {
        declared.label: twin_strip(c, name, unit=unit, items=items)
        for name, declared in quantities_between(c).items()
    }
    change = np.abs(np.nan_to_num(next(iter(strips.values())).change.values))
    subtitle = (
        f"A: {c.a.spec.subtitle}. B: {c.b.spec.subtitle}. Differs: {', '.join(c.differs) or 'nothing'}."
    )
    page = Page(
        "Two sides, token under token", subtitle, chosen=int(np.argmax(change)) if len(change) else -1
    )
    add_strips(page, "Both texts", strips)
    places_a, places_b = (
        np.where(has, start, -1)
        for has, start in ((items.has_a, items.start_a), (items.has_b, items.start_b))
    )
    add_token(page, "The chosen token on side A", c.a.tokens, unit, prefix="a", places=places_a)
    add_token(
        page, "The chosen token on side B", c.b.tokens, unit, prefix="b", places=places_b, place="beside"
    )
    places = tuple(places_a.tolist())
    if c.spans.has_context.any():
        quantity = "kl_ab" if c.rows is not None else "surprisal_change"
        for k, title in enumerate(("Both sides along the text", "How far they are apart")):
            page.add_chart(
                title,
                partial(_panel, c, quantity, unit, k),
                caption="The line is the chosen token, by its place on side A. A click chooses a token.",
                linked=Linked("position", across="position", places=places),
            )
        page.add_chart(
            "Change of entropy against change of surprisal",
            lambda name: change_quadrants(c, unit=unit, theme_name=name),
            caption="A mark per token: to the right B was less sure, further up the token was more of a surprise to it.",
            linked=Linked("position", x="entropy_change", y="surprisal_change", places=places),
        )
        add_summary(page, c, unit)
    for side, trace in (("A", c.a), ("B", c.b)):
        add_checks(page, trace.checks, trace.notes, trace.unavailable, title=f"Checks of {side}")
    add_checks(page, c.checks, c.alignment.notes, c.unavailable, title="Checks of the comparison")
    for side, trace in (("A", c.a), ("B", c.b)):
        add_spec(page, asdict(trace.spec), title=f"Settings of {side}")
    return page.report()


def _panel(c: Comparison, quantity: str, unit: Unit, number: int, theme_name: str) -> Any:
    """One of the two panels along the text."""
    return styled(along_panels(c, quantity, unit=unit, theme_name=theme_name, pick=True)[number], theme_name)


def add_summary(page: Page, c: Comparison, unit: Unit) -> None:
    """The few numbers that say how far the sides are apart."""
    rows: list[tuple[object, ...]] = [
        (
            row["label"],
            f"{significant(row['value'])} {row['unit']}".strip(),
            significant(row["low"]),
            significant(row["high"]),
            count(row["n"]),
        )
        for row in c.summary().to_frame(unit).to_dict("records")
    ]
    head = ("", "value", "from", "to", "of")
    page.add("How far they are apart, in numbers", table(head, rows), caption=METHOD)
