"""What samplers would keep before one token, and in which order two of them choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.units import from_nats
from app import runs, state
from app.components import readings
from app.components.errors import show_unavailable
from app.components.plain import visible

if TYPE_CHECKING:
    from analysis.forward.results import Trace
    from analysis.token_entropy.orders import TopHOrder, TypicalOrder
    from analysis.token_entropy.samplers import Kept


def samplers(trace: Trace, run_key: str, position: int) -> None:
    """Draw the panel of one token."""
    try:
        view = runs.samplers(run_key, position, trace)
    except AnalysisError as error:
        show_unavailable(error)
        return
    actual = int(trace.tokens.token_id[position])
    st.caption("What common samplers keep here, each alone at temperature 1:")
    _table(view.kept)
    with st.expander("Locally typical, in its order"):
        _typical(view.typical, actual)
    with st.expander("Top-H, two rules"):
        _top_h(view.top_h, actual)


def _table(kept: list[Kept]) -> None:
    frame = pd.DataFrame(
        {
            "sampler": [k.sampler for k in kept],
            "keeps": [k.count for k in kept],
            "mass": [100 * k.mass for k in kept],
            "it": ["kept" if k.keeps_actual else "cut" for k in kept],
        }
    )
    st.dataframe(
        frame,
        hide_index=True,
        key="detail_samplers",
        column_config={
            "keeps": st.column_config.NumberColumn(width=60, help="Tokens left of the vocabulary"),
            "mass": st.column_config.NumberColumn(
                format="%.1f %%", width=68, help="Their probability before renormalising"
            ),
            "it": st.column_config.TextColumn(width=44, help="Whether the token that came is among them"),
        },
    )


def _typical(order: TypicalOrder, actual: int) -> None:
    unit = state.unit()
    frame = order.to_frame(unit)
    shown = _marked(frame, actual, ["kept"])
    shown[f"|s − H|, {unit}"] = frame[f"distance_{unit}"]
    shown[f"surprisal, {unit}"] = frame[f"surprisal_{unit}"]
    shown["mass"] = 100 * frame["mass"]
    st.caption(
        f"Keeps {count(order.n_kept)}, closest first to the entropy "
        f"H = {significant(from_nats(order.entropy, unit))} {unit}. "
        + (
            "It leaves nothing out."
            if order.kept.all()
            else f"Place {count(order.n_kept + 1)} is the first cut."
        )
    )
    _frame(shown, "detail_typical")
    st.caption(readings.TYPICAL)


def _top_h(order: TopHOrder, actual: int) -> None:
    unit = state.unit()
    frame = order.to_frame(unit)
    shown = _marked(frame, actual, ["kept_by_transformers", "kept_by_paper"])
    shown[f"sum, {unit}"] = frame[f"partial_sum_{unit}"]
    shown[f"entropy, {unit}"] = frame[f"renormalised_entropy_{unit}"]
    library, paper = (significant(from_nats(x, unit)) for x in (order.limit_library, order.limit_paper))
    st.caption(
        f"transformers keeps {count(order.n_library)}: the sum stays within {library} {unit}. "
        f"The paper's constraint keeps {count(order.n_paper)}: the entropy stays within {paper} {unit}."
    )
    _frame(shown, "detail_top_h")
    st.caption(readings.TOP_H)


def _marked(frame: pd.DataFrame, actual: int, rules: list[str]) -> pd.DataFrame:
    """Places and names, the token that came marked, and what each rule does."""
    names = {"kept": "rule", "kept_by_transformers": "library", "kept_by_paper": "paper"}
    shown = pd.DataFrame(
        {
            "place": frame["place"],
            "token": [
                ("● " if token == actual else "") + visible(name)
                for token, name in zip(frame["token_id"], frame["token"], strict=True)
            ],
        }
    )
    for rule in rules:
        shown[names[rule]] = ["kept" if kept else "cut" for kept in frame[rule]]
    return shown


def _frame(shown: pd.DataFrame, key: str) -> None:
    numbers = {
        column: st.column_config.NumberColumn(format="%.1f %%" if column == "mass" else "%.3f")
        for column in shown.columns
        if shown[column].dtype.kind == "f"
    }
    st.dataframe(
        shown,
        hide_index=True,
        key=key,
        height=35 * min(len(shown), 12) + 38,
        column_config=numbers | {"place": st.column_config.NumberColumn(width=48)},
    )
