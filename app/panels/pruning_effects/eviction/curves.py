"""KV-cache eviction: five numbers and the trade-off curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from analysis.drawing.numbers import count, significant, size
from analysis.pruning_effects.eviction.figures import METRIC_TEXTS, METRICS, Metric, pruning_curves
from analysis.units import from_nats
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import altair_card, notebook_code, show_chart
from app.widgets.layout import side_by_side

if TYPE_CHECKING:
    from analysis.pruning_effects.eviction.results import Sweep
    from analysis.results.trace import Trace

_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
_INFORMATION = ("nll", "delta_nll", "kl", "kl_p95", "answer_logp")


def live(sweep: Sweep) -> None:
    """Draw the curves of a sweep that is still running."""
    with st.container(border=True):
        st.markdown("**Damage against the share kept**")
        st.caption(f"So far: {so_far(sweep)}.")
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


def best_at(sweep: Sweep, share: float) -> str:
    """Method with the smallest mean KL at a share, among those that delete what they do not keep, if there are any."""
    frame = sweep.to_frame().assign(deletes=[setting.deletes for setting in sweep.settings])
    here = frame[(frame["kept"] == share) & (frame["policy"] != "full")]
    freeing = here[here["deletes"]]
    return str((here if freeing.empty else freeing).groupby("policy", sort=False)["kl"].mean().idxmin())


def middle_share(frame: pd.DataFrame) -> float:
    """The share nearest to one half that was run."""
    kept = frame.loc[frame["policy"] != "full", "kept"]
    return float(kept.iloc[(kept - 0.5).abs().argmin()])


def numbers(sweep: Sweep) -> None:
    """The five numbers at the head of the pictures."""
    frame, unit = sweep.to_frame(), state.unit()
    share = middle_share(frame)
    best = best_at(sweep, share)
    here = frame[frame["kept"] == share]
    means = here.groupby("policy")[["kl", "delta_nll"]].mean().to_dict()
    label = str(here.loc[here["policy"] == best, "label"].iloc[0])
    spec = sweep.spec
    kl, delta = (from_nats(float(means[name][best]), unit) for name in ("kl", "delta_nll"))
    random = (
        significant(from_nats(float(means["kl"]["random"]), unit)) if "random" in means["kl"] else "not run"
    )
    budget, whole = int(here.loc[here["policy"] == best, "kv_budget"].iloc[0]), sweep.settings[0].budget
    width = 2 * spec.head_size * _BYTES.get(spec.dtype, 0)
    pairs = spec.n_layers * spec.n_kv_heads
    cells = [
        (f"best at {share:.0%}", label, f"Smallest mean KL(full ‖ pruned) with {share:.0%} of the context kept, among methods that free memory."),
        (f"KL, {unit}", significant(kl), "Mean over the tokens after the first of KL(full ‖ pruned): 0 says nothing was lost."),
        (f"ΔNLL, {unit}", significant(delta, signed=True),
         "Mean change of the surprisal of the tokens that came. Below 0 the pruned cache predicted them better, which happens by chance."),
        (f"chance, {unit}", random, f"KL of the control at {share:.0%}: uniformly random tokens, mean over seeds. A method that is not better says nothing about these tokens."),
        ("KV cache", size(budget * width) if width else "not available",
         f"Keys and values that stay, of {size(whole * width)}: {significant(budget / pairs)} of {count(spec.n_context)} tokens "
         f"in each of {count(pairs)} (layer, KV head) pairs, on average. Logical bytes: in this comparison evicted tokens are hidden, not freed."),
    ]  # fmt: skip
    columns = side_by_side("numbers_eviction", [1.86, 1.08, 1.14, 1.22, 1.04])
    for column, (name, value, explanation) in zip(columns, cells, strict=True):
        column.metric(name, value, help=explanation, border=True)


def sweep_table(sweep: Sweep, unit: Any) -> pd.DataFrame:
    """All settings, information in a unit that the column names say."""
    frame = sweep.to_frame()
    for name in _INFORMATION:
        if name in frame:
            frame[name] = from_nats(frame[name].to_numpy(float), unit)
    return frame.rename(columns={name: f"{name}_{unit}" for name in _INFORMATION})


@st.fragment
def curves(trace: Trace, sweep: Sweep, code: str) -> None:
    """Trade-off curves with a choice of what is measured."""
    unit = state.unit()
    options = [m for m in METRICS if m != "answer_logp" or sweep.spec.n_answer]
    names: dict[str, Metric] = {METRIC_TEXTS[m].label: m for m in options}
    first = "log p of the answer" if sweep.spec.n_answer else "KL, mean"
    left, right = side_by_side("controls_curves", [4, 1], "center")
    label = left.segmented_control(
        "Measured by",
        list(names),
        default=first,
        required=True,
        key=f"{state.CURVE}_{bool(sweep.spec.n_answer)}",
        label_visibility="collapsed",
        wrap=True,
    )
    metric = names[label]
    log = metric in ("kl", "kl_p95") and right.toggle("Log scale", key=state.CURVE_SCALE, bind="query-params")

    call = f"{code}an.figures.pruning_curves(sweep, {metric!r}{', log=True' if log else ''}, unit={unit!r})"
    with altair_card(
        "Damage against the share kept",
        f"{explained.METRICS[metric]} Click a name in the legend to see its curve alone.",
        lambda: pruning_curves(sweep, metric, log=log, unit=unit, theme_name=state.theme_name()),
        alt=f"{METRIC_TEXTS[metric].title} against the share kept",
        key="eviction_chart",
        name="eviction_curves",
        table=lambda: sweep_table(sweep, unit),
        code=notebook_code(trace, call),
        spec=sweep.spec.subtitle,
        more=explained.CURVES,
    ) as draw:
        draw()
        if log:
            st.caption(
                "A logarithmic axis has no zero: the full cache and settings without any loss are left out."
            )
