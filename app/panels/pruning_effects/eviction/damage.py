"""KV-cache eviction: the damage along the continuation, and two top-k lists side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.pruning_effects.eviction.figures import damage_tokens
from analysis.pruning_effects.eviction.strips import DamageQuantity, damage_strip
from analysis.pruning_effects.eviction.summary import hardest_hit, top_frame
from analysis.units import from_nats, table_in
from app import state
from app.choice import choose
from app.panels.pruning_effects.eviction import help as explained
from app.panels.pruning_effects.eviction.kept import named, named_token
from app.widgets.figure_card import html_card, notebook_code
from app.widgets.layout import table_height
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    import pandas as pd

    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_LABELS: dict[str, DamageQuantity] = {"KL": "kl", "surprisal": "change"}
_CAPTIONS = {
    "kl": "Stronger colour: the prediction of this token moved further.",
    "change": "Orange: the token became more surprising. Blue: less.",
}


def damage(trace: Trace, sweep: Sweep, setting: int, code: str, left: Any, panel: Any) -> None:
    """The continuation coloured by damage, and in the panel both predictions of a clicked token."""
    with left:
        chosen = _strip(trace, sweep, setting, code)
    with panel:
        _predictions(sweep, setting, chosen)


def _strip(trace: Trace, sweep: Sweep, setting: int, code: str) -> int | None:
    unit = state.unit()
    label = st.session_state.get(state.DAMAGE, "KL")
    quantity = _LABELS.get(label, "kl")
    strip = damage_strip(sweep, setting, quantity, unit=unit)
    with html_card(
        "The damage, token by token",
        f"{_CAPTIONS[quantity]} Click a token to see both predictions.",
        lambda: damage_tokens(sweep, setting, quantity, unit=unit, theme_name=state.theme_name()),
        phrase=named(sweep, setting),
        name="damage_strip",
        table=lambda: _table(sweep, setting),
        code=notebook_code(
            trace, f"{code}an.figures.damage_tokens(sweep, {setting}, {quantity!r}, unit={unit!r})"
        ),
        more=explained.DAMAGE,
    ):
        choose("Colour by", list(_LABELS), key=state.DAMAGE, titled=False)
        first = hardest_hit(sweep, setting)
        return token_strip(strip, key="damage_strip_canvas", selected=first, height=300)


def _table(sweep: Sweep, setting: int) -> pd.DataFrame:
    frame = sweep.per_token(setting)
    frame["token"] = [visible(token) for token in frame["token"]]
    return table_in(frame, ("surprisal_full", "surprisal", "change", "kl"), state.unit())


def _predictions(sweep: Sweep, setting: int, at: int | None) -> None:
    with st.container(key="eviction_predictions"):
        if at is None or at >= len(sweep.continuation_tokens):
            return
        unit = state.unit()
        named_token(count(sweep.spec.n_context + at), sweep.continuation_tokens[at])
        if at == 0:
            st.caption("Predicted before anything was evicted: both lists are the same.")
        else:
            kl, before, after = (
                from_nats(float(values[at]), unit)
                for values in (sweep.kl[setting], sweep.surprisal[0], sweep.surprisal[setting])
            )
            st.caption(
                f"KL **{significant(kl)}** {unit} · surprisal **{significant(before)} → {significant(after)}** {unit} "
                f"(**{significant(after - before, signed=True)}**)"
            )
        columns = st.columns(2)
        for column, number, name in zip(columns, (0, setting), ("full", "pruned"), strict=True):
            column.dataframe(
                _top(sweep, number, at, name),
                hide_index=True,
                key=f"damage_top_{name}",
                height=table_height(sweep.top_ids.shape[2], 20),
                column_config={
                    "": st.column_config.TextColumn(width=20, help="● is the token that came"),
                    "%": st.column_config.NumberColumn(format="%.1f", width=52, help="Probability"),
                },
            )


def _top(sweep: Sweep, setting: int, at: int, name: str) -> pd.DataFrame:
    frame = top_frame(sweep, setting, at)
    shown = {"": frame["came"].map({True: "●", False: ""}), name: frame["token"].map(visible)}
    return frame.assign(**shown, **{"%": 100 * frame["probability"]})[["", name, "%"]]
