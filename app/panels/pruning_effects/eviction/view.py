"""Pruning effects of the KV cache: a comparison that starts by itself where it is cheap, and its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state
from app.choice import choose
from app.panels.pruning_effects.eviction.comparison import comparison
from app.panels.pruning_effects.eviction.heavy import heavy
from app.widgets.checks import check_line
from app.widgets.growing import growing
from app.widgets.layout import picture_and_choice
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.report_button import report_button
from app.widgets.run_status import model_run, model_run_or_none, opened_sweep, outcome, shown_run

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace
    from app.panels.pruning_effects.eviction.sweep_request import SweepRequest

OPENED_CODE = 'sweep = an.load_session("logitscope.session").sweep\n'
"""Notebook lines that give the sweep of an opened session."""
PICTURES = ("curves", "what stays", "damage", "agreement", "cost", "tests")


def kv_cache(line: Any) -> None:
    """Draw the view for the run on screen.

    Parameters
    ----------
    line : container
        Of the heading: the choice of pictures stands at its end.
    """
    picture = choose("Pictures", PICTURES, key=state.EVICTION_PICTURES, place=line, titled=False, wrap=True)
    _comparison(shown_run(), picture)


@st.fragment
def _comparison(trace: Trace, picture: str) -> None:
    left, right = picture_and_choice("eviction", follows=picture in ("what stays", "damage"))
    panel = right.container(border=True, key="panel_eviction")
    opened = opened_sweep()
    if opened is not None:
        panel.caption(plain(f"From the opened file: {opened.spec.subtitle}"))
        _draw(picture, trace, opened, None, left, panel)
        return
    if model_run() is None:
        with panel:
            model_run_or_none(
                "KV-cache eviction",
                "It reads the text again with parts of the cache gone, and an opened file has no model.",
            )
        with left:
            heavy(trace)
        return
    with panel:
        on_screen = comparison(trace)
    job = on_screen.job
    if job is not None and job.is_live:
        from app.panels.pruning_effects.eviction.curves import live

        with panel:
            outcome(job, ())
        with left:
            growing(job.key, live, lambda: heavy(trace))
        return
    sweep = None if job is None else job.result or job.partial
    if sweep is None or on_screen.shown is None:
        with left:
            heavy(trace)
        return
    _draw(picture, trace, sweep, on_screen.shown, left, panel)


def _draw(
    picture: str, trace: Trace, sweep: Sweep, sweep_request: SweepRequest | None, left: Any, panel: Any
) -> None:
    """One of the pictures, and beside it the setting and the token that are chosen; a sweep from a file has no request."""
    from app.panels.pruning_effects.eviction.setting import choose_setting

    if len(sweep.settings) < 2:
        with left:
            unavailable("Pictures of the comparison", "No method could be run, for the reasons below.")
            _skipped(sweep)
        return
    code = OPENED_CODE if sweep_request is None else sweep_request.code(trace)
    with panel:
        share, setting = choose_setting(sweep)
    if picture == "what stays":
        from app.panels.pruning_effects.eviction.kept import kept_map

        if setting is not None and sweep.settings[setting].deletes:
            kept_map(trace, sweep, setting, code, left, panel)
        elif setting is not None:
            left.info("This method deletes nothing: every token stays in the cache, and only work is saved.")
    elif picture == "damage":
        from app.panels.pruning_effects.eviction.damage import damage

        if setting is not None:
            damage(trace, sweep, setting, code, left, panel)
    else:
        with left:
            if picture in ("agreement", "curves"):
                _of_all(picture, trace, sweep, share, code)
            elif sweep_request is None:
                unavailable(
                    "Costs and tests", "They read the text again with the model, and an opened file has none."
                )
            else:
                _with_model(picture, trace, sweep, sweep_request)


def _with_model(picture: str, trace: Trace, sweep: Sweep, sweep_request: SweepRequest) -> None:
    """Pictures for which the model reads again."""
    if picture == "cost":
        from app.panels.pruning_effects.eviction.bill import bill
        from app.panels.pruning_effects.eviction.times import times

        request = model_run()
        if request is not None:
            bill(trace, sweep, request, sweep_request)
        times(trace, sweep_request)
    else:
        from app.panels.pruning_effects.eviction.horizon import horizon
        from app.panels.pruning_effects.eviction.needle import needle
        from app.panels.pruning_effects.eviction.stability import stability
        from app.panels.pruning_effects.eviction.writing import writing

        writing(trace, sweep_request)
        needle(trace, sweep_request)
        horizon(trace, sweep, sweep_request)
        stability(trace, sweep_request)


def _of_all(picture: str, trace: Trace, sweep: Sweep, share: float, code: str) -> None:
    """Pictures that are not of one setting."""
    if picture == "agreement":
        from app.panels.pruning_effects.eviction.overlap import agreement, phrase_survival

        agreement(trace, sweep, share, code)
        phrase_survival(trace, sweep, share, code)
    else:
        from app.panels.pruning_effects.eviction.curves import curves, numbers

        curves(trace, sweep, code)
        numbers(sweep)
        _skipped(sweep)
        with st.expander("Checks of this comparison"):
            for check in sweep.checks:
                check_line(check)
        report_button("Report of this comparison", sweep, name="sweep")


def _skipped(sweep: Sweep) -> None:
    if sweep.skipped:
        n = len(sweep.skipped)
        with st.expander(f"Not run: {n} setting{'s' * (n > 1)}, and why"):
            for name, reason in sweep.skipped.items():
                st.caption(f"**{plain(name)}**: {plain(reason)}")
