"""Bigram-Backcopy lab: the curves of a run that grows, and the cards of finished runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from app import state
from app.panels.entropy_collapse.backcopy import help as explained
from app.widgets.figure_card import altair_card, show_chart

if TYPE_CHECKING:
    from analysis.entropy_collapse.labs.backcopy.results import BackcopyRun


def live(finished: list[BackcopyRun]) -> Callable[[BackcopyRun], None]:
    """Give what draws a run that grows, over those that are done.

    Parameters
    ----------
    finished : list of BackcopyRun
        Drawn beside it.
    """
    from analysis.entropy_collapse.labs.backcopy.figures import forming_panels, risks_figure

    def draw(partial: BackcopyRun) -> None:
        overlaid, theme_name = [*finished, partial], state.theme_name()
        sink, drain, peak = forming_panels(overlaid, theme_name=theme_name)
        charts = {
            "Risk over steps": risks_figure(overlaid, unit=state.unit(), theme_name=theme_name),
            "Attention on token 0 over steps": sink,
            "Value drain over steps": drain,
            "State norm of token 0 over steps": peak,
        }
        with st.container(border=True, key="card_backcopy_live"):
            for name, chart in charts.items():
                show_chart(chart, alt=name, key=f"live {name}")

    return draw


def cards(finished: list[BackcopyRun], picture: str) -> None:
    """Draw finished runs, the newest one's characters last: one of the pictures "risk" and "sink"."""
    if picture == "sink":
        _forming_card(finished)
        _character_card(finished[-1])
    else:
        _risks_card(finished)
        _summary(finished)


def _summary(finished: list[BackcopyRun]) -> None:
    from analysis.entropy_collapse.labs.backcopy.results import backcopy_summary

    with st.container(border=True, key="panel_backcopy_table"):
        st.markdown("**At the last step**")
        columns = explained.columns()
        st.dataframe(
            backcopy_summary(finished),
            hide_index=True,
            key="backcopy_summary",
            column_order=["run", "steps", *columns],
            column_config=columns,
        )


def _risks_card(finished: list[BackcopyRun]) -> None:
    from analysis.entropy_collapse.labs.backcopy.figures import risks_figure

    unit = state.unit()
    with altair_card(
        "Risk over steps",
        "Solid: after ordinary characters. Dashed: after triggers. Dotted: what knowing both rules would give, "
        "which is 0 after triggers.",
        lambda: risks_figure(finished, unit=unit, theme_name=state.theme_name()),
        alt="Risk over steps",
        name="backcopy_risks",
        table=lambda: _table(finished),
        code=_code(finished, f"risks_figure(runs, unit={unit!r})"),
        spec=_spec(finished),
        more=explained.RISKS,
    ) as draw:
        draw()


def _forming_card(finished: list[BackcopyRun]) -> None:
    from analysis.entropy_collapse.labs.backcopy.figures import forming_figure, forming_panels

    panels = forming_panels(finished, theme_name=state.theme_name())
    with altair_card(
        "Sink, value drain and state peak over steps",
        "Top: attention on token 0. Middle: how small its value becomes. Bottom: how large its state becomes.",
        lambda: forming_figure(finished, theme_name=state.theme_name()),
        name="backcopy_forming",
        table=lambda: _table(finished),
        code=_code(finished, "forming_figure(runs)"),
        spec=_spec(finished),
        more=explained.FORMING,
    ) as draw:
        for name, panel in zip(("sink", "value drain", "state norm"), panels, strict=True):
            draw(panel, alt=f"Token 0 over steps: {name}", key=f"backcopy {name}")


def _character_card(run: BackcopyRun) -> None:
    from analysis.entropy_collapse.labs.backcopy.figures import character_frame, first_token_figure

    with altair_card(
        f"Attention on token 0 by character: {run.settings.variant}, layer {run.sink_layer}",
        "At the last step. A sink: tall bars for ordinary characters, none for triggers.",
        lambda: first_token_figure(run, theme_name=state.theme_name()),
        alt="Attention on token 0 by character",
        key="backcopy_chars",
        name="backcopy_characters",
        table=lambda: character_frame(run),
        code=_code([run], "first_token_figure(runs[0])"),
        spec=_spec([run]),
        more=explained.CHARACTERS,
    ) as draw:
        draw()


def _table(finished: list[BackcopyRun]) -> Any:
    import pandas as pd

    return pd.concat([run.to_frame() for run in finished], ignore_index=True)


def _spec(finished: list[BackcopyRun]) -> str:
    """The newest run in one line, and how many others are drawn."""
    others = len(finished) - 1
    more = f" · with {others} other run{'s' * (others > 1)}" if others else ""
    return f"{finished[-1].settings.subtitle} · CPU, {significant(finished[-1].seconds)} s{more}"


def _code(finished: list[BackcopyRun], call: str) -> str:
    lab = "analysis.entropy_collapse.labs.backcopy"
    settings = "".join(
        f"    BackcopySettings({one.layers}, {one.optimizer!r}, {one.attention!r}, steps={one.steps}),\n"
        for one in (run.settings for run in finished)
    )
    return (
        f"from {lab}.figures import {call.split('(')[0]}\n"
        f"from {lab}.results import BackcopySettings\n"
        f"from {lab}.training import train_backcopy\n\n"
        f"settings = [\n{settings}]\n"
        f"runs = [train_backcopy(one) for one in settings]\n"
        f"{call}\n"
    )
