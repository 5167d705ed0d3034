"""What samplers would keep before one token, and in which order two of them choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.errors import AnalysisError
from analysis.units import from_nats
from app import state
from app.compute import requests as runs
from app.panels.token_entropy import help as explained
from app.widgets.layout import table_height
from app.widgets.messages import show_unavailable

if TYPE_CHECKING:
    from analysis.results.trace import Trace
    from analysis.token_entropy.orders import TopHOrder, TypicalOrder
    from analysis.token_entropy.samplers import Kept

_KEPT_BY = {
    (True, True): "both",
    (True, False): "library",
    (False, True): "paper",
    (False, False): "none",
}
"""Whether transformers' rule and the paper's keep a token."""


def samplers(trace: Trace, run_key: str, position: int) -> None:
    """Draw the panel of one token."""
    try:
        view = runs.samplers(run_key, position, trace)
    except AnalysisError as error:
        show_unavailable(error)
        return
    actual = int(trace.tokens.token_id[position])
    st.caption(
        "What common samplers keep here, each alone at temperature 1; Top-H by transformers' rule (library) and by that of "
        "its paper:"
    )
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
    shown = _listed(frame, actual)
    shown["it is"] = ["kept" if kept else "cut" for kept in frame["kept"]]
    shown["|s − H|"] = frame[f"distance_{unit}"]
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
    st.caption(explained.TYPICAL)


def _top_h(order: TopHOrder, actual: int) -> None:
    unit = state.unit()
    frame = order.to_frame(unit)
    shown = _listed(frame, actual)
    both = zip(frame["kept_by_transformers"], frame["kept_by_paper"], strict=True)
    shown["kept by"] = [_KEPT_BY[kept] for kept in both]
    shown["sum"] = frame[f"partial_sum_{unit}"]
    shown["entropy"] = frame[f"renormalised_entropy_{unit}"]
    library, paper = (significant(from_nats(x, unit)) for x in (order.limit_library, order.limit_paper))
    st.caption(
        f"transformers keeps {count(order.n_library)}, whose sum is within {library} {unit}. "
        f"The paper's constraint keeps {count(order.n_paper)}, whose entropy is within {paper} {unit}."
    )
    places = frame["place"].tolist()
    if places == list(range(places[0], places[0] + len(places))):
        shown = shown.drop(columns="place")  # the panel is narrow, and nothing is left out of the list
    _frame(shown, "detail_top_h")
    st.caption(explained.TOP_H)


def _listed(frame: pd.DataFrame, actual: int) -> pd.DataFrame:
    """Places and names, the token that came marked."""
    names = [
        ("● " if token == actual else "") + visible(name)
        for token, name in zip(frame["token_id"], frame["token"], strict=True)
    ]
    return pd.DataFrame({"place": frame["place"], "token": names})


def _frame(shown: pd.DataFrame, key: str) -> None:
    unit = state.unit()
    explained = {
        "|s − H|": f"Distance of the token's surprisal from the entropy, {unit}",
        "mass": "Probability of the tokens up to here",
        "sum": f"Sum of −p ln p up to here over the 100 most probable tokens, renormalised, {unit}",
        "entropy": f"Entropy of the tokens up to here alone, {unit}",
    }
    numbers = {
        column: st.column_config.NumberColumn(
            format="%.1f %%" if column == "mass" else "%.3f", width=60, help=said
        )
        for column, said in explained.items()
        if column in shown
    }
    st.dataframe(
        shown,
        hide_index=True,
        key=key,
        height=table_height(len(shown)),
        column_config=numbers | {"place": st.column_config.NumberColumn(width=44)},
    )
