"""KV-cache eviction: five numbers and the trade-off curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from analysis.drawing.numbers import count, significant, size
from analysis.pruning_effects.eviction.figures import METRIC_TEXTS, METRICS, Metric, pruning_curves
from analysis.pruning_effects.eviction.results import INFORMATION
from analysis.pruning_effects.eviction.summary import best_method, middle_share
from analysis.units import from_nats, table_in
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import altair_card, notebook_code, show_chart
from app.widgets.layout import number_line

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace


def live(sweep: Sweep) -> None:
    """Draw the curves of a sweep that is still running."""
    with st.container(border=True, key="card_eviction_live"):
        with st.container(key="titleline_eviction_live", horizontal=True, vertical_alignment="center"):
            st.markdown("**Damage against the share kept**", width="content")
            st.caption(f"so far: {so_far(sweep)}", width="stretch")
        show_chart(
            pruning_curves(sweep, "kl", unit=state.unit(), theme_name=state.theme_name()),
            alt="KL from the full cache against the share kept",
            key="eviction_live",
        )


def so_far(sweep: Sweep) -> str:
    """What of a sweep is there: its settings, or the tokens that all of them have read."""
    if sweep.spec.mode == "decode":
        return f"the first {count(sweep.spec.n_continuation)} tokens of what follows, under every setting"
    return f"{count(len(sweep.settings))} settings, method by method"


def numbers(sweep: Sweep) -> None:
    """Five numbers of the best method."""
    unit, share = state.unit(), middle_share(sweep)
    best, spec = best_method(sweep, share), sweep.spec
    pairs = spec.n_layers * spec.n_kv_heads
    random = significant(from_nats(best.chance, unit)) if math.isfinite(best.chance) else "not run"
    cells = [
        (f"best at {share:.0%}", best.label, f"Smallest mean KL(full ‖ pruned) with {share:.0%} of the context kept, among methods that free memory."),
        (f"KL, {unit}", significant(from_nats(best.kl, unit)), "Mean over the tokens after the first of KL(full ‖ pruned): 0 says nothing was lost."),
        (f"ΔNLL, {unit}", significant(from_nats(best.delta_nll, unit), signed=True),
         "Mean change of the surprisal of the tokens that came. Below 0 the pruned cache predicted them better, which happens by chance."),
        (f"chance, {unit}", random, f"KL of the control at {share:.0%}: uniformly random tokens, mean over seeds. A method that is not better says nothing about these tokens."),
        ("KV cache", size(best.kept_bytes) if best.kept_bytes else "not available",
         f"Keys and values that stay, of {size(best.full_bytes)}: {significant(best.tokens_per_pair)} of {count(spec.n_context)} tokens "
         f"in each of {count(pairs)} (layer, KV head) pairs, on average. Logical bytes: in this comparison evicted tokens are hidden, not freed."),
    ]  # fmt: skip
    number_line("eviction", cells)


@st.fragment
def curves(trace: Trace, sweep: Sweep, code: str) -> None:
    """Trade-off curves with a choice of what is measured."""
    unit = state.unit()
    options = [m for m in METRICS if m != "answer_logp" or sweep.spec.n_answer]
    names: dict[str, Metric] = {METRIC_TEXTS[m].label: m for m in options}
    first = "log p of the answer" if sweep.spec.n_answer else "KL, mean"
    chosen = st.session_state.get(f"{state.CURVE}_{bool(sweep.spec.n_answer)}", first)
    metric = names.get(chosen, names[first])
    may_log = metric in ("kl", "kl_p95")
    log = may_log and bool(st.session_state.get(state.CURVE_SCALE))

    call = f"{code}an.figures.pruning_curves(sweep, {metric!r}{', log=True' if log else ''}, unit={unit!r})"
    with altair_card(
        "Damage against the share kept",
        explained.METRICS[metric],
        lambda: pruning_curves(sweep, metric, log=log, unit=unit, theme_name=state.theme_name()),
        alt=f"{METRIC_TEXTS[metric].title} against the share kept",
        key="eviction_chart",
        name="eviction_curves",
        table=lambda: table_in(sweep.to_frame(), INFORMATION, unit),
        code=notebook_code(trace, call),
        more=explained.CURVES,
    ) as draw:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.segmented_control(
                "Measured by",
                list(names),
                default=first,
                required=True,
                key=f"{state.CURVE}_{bool(sweep.spec.n_answer)}",
                label_visibility="collapsed",
                wrap=True,
            )
            if may_log:
                st.toggle("Log scale", key=state.CURVE_SCALE, bind="query-params", width="content")
        draw()
        if log:
            st.caption(
                "A logarithmic axis has no zero: the full cache and settings without any loss are left out."
            )
