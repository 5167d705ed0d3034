"""The report of a sweep: what pruning costs, method by method, and where in the text it is felt."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

from analysis.drawing.numbers import significant
from analysis.pruning_effects.eviction.figures import METRIC_TEXTS, Metric, pruning_curves
from analysis.pruning_effects.eviction.results import INFORMATION, Sweep
from analysis.pruning_effects.eviction.strips import damage_strip
from analysis.reports.page import Page, Report, table
from analysis.reports.parts import add_checks, add_spec, add_strips
from analysis.units import Unit, table_in

_DRAWN: tuple[Metric, ...] = ("kl", "delta_nll", "top1_agreement", "answer_logp")
MOST_STRIPS = 60
"""Settings whose tokens are drawn; the table has all of them."""


def sweep_report(sweep: Sweep, *, unit: Unit = "nats") -> Report:
    """A sweep as one file.

    Parameters
    ----------
    sweep : Sweep
        All settings on one context.
    unit : {"nats", "bits"}
        Unit of information.
    """
    page = Page("What pruning the cache costs", sweep.spec.subtitle, "pruning_effects")
    frame = table_in(sweep.to_frame(), INFORMATION, unit)
    pruned = range(1, min(len(sweep.settings), MOST_STRIPS + 1))
    names = {k: f"{s.label}, {100 * s.kept:g} % kept, seed {s.seed}" for k, s in enumerate(sweep.settings)}
    add_strips(
        page,
        "Where it is felt",
        {names[k]: damage_strip(sweep, k, unit=unit) for k in pruned},
        caption="The text after the context: how far each prediction moved from that of the full cache.",
    )
    for metric in _DRAWN:
        if metric != "answer_logp" or sweep.spec.n_answer:
            text = METRIC_TEXTS[metric]
            page.add_chart(
                text.label[:1].upper() + text.label[1:],
                partial(_curves, sweep, metric, unit),
                caption=f"{text.title[:1].upper()}{text.title[1:]}, against the share of the context that is kept.",
            )
    shown = [c for c in frame.columns if c != "policy"]
    rows: list[tuple[object, ...]] = [
        tuple(significant(v) if isinstance(v, float) else str(v) for v in row)
        for row in frame[shown].itertuples(index=False)
    ]
    head = tuple(name.replace("_", " ") for name in shown)
    page.add(
        "Every setting",
        f'<div class="wide" tabindex="0" role="region" aria-label="Every setting">{table(head, rows)}</div>',
    )
    add_checks(page, sweep.checks, unavailable=sweep.skipped)
    add_spec(page, {**asdict(sweep.spec), "context": sweep.context, "continuation": sweep.continuation})
    return page.report()


def _curves(sweep: Sweep, metric: Metric, unit: Unit, theme_name: str) -> Any:
    return pruning_curves(sweep, metric, unit=unit, theme_name=theme_name)
