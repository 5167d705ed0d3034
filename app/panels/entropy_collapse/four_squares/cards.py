"""Four squares: the cards of finished runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from app import state
from app.panels.entropy_collapse.four_squares import help as explained
from app.widgets.figure_card import altair_card
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    import pandas as pd

    from analysis.entropy_collapse.labs.four_squares.figures import Quantity
    from analysis.entropy_collapse.labs.four_squares.results import LabRun
    from analysis.entropy_collapse.training.law import LawFit

_RESAMPLES = 300


def cards(drawn: list[LabRun], picture: str) -> None:
    """Draw finished runs, the baseline first: one of the pictures "entropy", "answers", "exchange"."""
    if picture == "answers":
        _answers(drawn)
    elif picture == "exchange":
        _law_card(drawn)
        _change_card(drawn)
    else:
        _curves_card(
            drawn,
            "Policy entropy over training steps",
            "Where the policy chooses a square, and everywhere else: high entropy among followers is errors, not choice.",
            "squares_entropy",
            ("forks", "followers"),
            explained.ENTROPY,
        )
        _spread_card(drawn)
        _against_baseline(drawn)


def effects(drawn: list[LabRun]) -> None:
    """What every intervention did, in words."""
    from analysis.entropy_collapse.labs.four_squares.comparison import compare

    for name, effect in compare(drawn)[["intervention", "effect"]].itertuples(index=False):
        st.markdown(f"**{plain(name)}**: {plain(effect)}")


def _answers(drawn: list[LabRun]) -> None:
    numbers = st.session_state.get(state.SQUARES_NUMBERS, "training")
    held = numbers == "held out"
    _curves_card(
        drawn,
        f"Reward and pass@{drawn[0].settings.k}, {numbers} numbers",
        "Left: how often an answer is right. Right: how often one of several is. Faint: the reward of single steps.",
        "squares_reward",
        ("held-out pass@1", "held-out pass@k") if held else ("reward", "pass@k"),
        explained.REWARD,
        _numbers,
    )
    _curves_card(
        drawn,
        "Different right answers, and whether the arithmetic is true",
        f"Left: of {drawn[0].settings.answers} answers to a number; it falls while the reward rises. Right tells "
        "choice from error.",
        "squares_distinct",
        ("distinct", "validity"),
        explained.DISTINCT,
    )


def _numbers() -> None:
    st.segmented_control(
        "Numbers evaluated",
        ("training", "held out"),
        default="training",
        required=True,
        key=state.SQUARES_NUMBERS,
        label_visibility="collapsed",
    )


def _against_baseline(drawn: list[LabRun]) -> None:
    from analysis.entropy_collapse.labs.four_squares.comparison import compare

    columns = {
        "intervention": None,
        "effect": None,
        "entropy_end": st.column_config.NumberColumn("entropy, nats", format="%.3f"),
        "entropy_against_baseline": st.column_config.NumberColumn("entropy × baseline", format="%.2f"),
        "reward_end": st.column_config.NumberColumn("reward", format="%.3f"),
        "reward_against_baseline": st.column_config.NumberColumn("reward − baseline", format="%+.3f"),
        "distinct_end": st.column_config.NumberColumn("right, different", format="%.2f"),
        "distinct_against_baseline": st.column_config.NumberColumn("different × baseline", format="%.2f"),
    }
    with st.container(border=True, key="panel_squares_table"):
        st.markdown("**After the last step, against plain GRPO with the same seed**")
        st.dataframe(
            compare(drawn),
            hide_index=True,
            key="squares_summary",
            column_order=list(columns),
            column_config={name: column for name, column in columns.items() if column is not None},
        )
        st.caption(explained.EFFECT)


def _curves_card(
    drawn: list[LabRun],
    title: str,
    caption: str,
    name: str,
    quantities: tuple[Quantity, Quantity],
    more: str,
    controls: Callable[[], None] | None = None,
) -> None:
    from analysis.entropy_collapse.labs.four_squares.figures import lab_curve, lab_curves

    unit, theme_name = state.unit(), state.theme_name()
    with altair_card(
        title,
        caption,
        lambda: lab_curves(drawn, quantities, unit=unit, theme_name=theme_name),
        name=name,
        table=lambda: _table(drawn),
        code=_code(drawn, "figures", f"figures.lab_curves(runs, {list(quantities)}, unit={unit!r})"),
        spec=_spec(drawn),
        more=more,
    ) as draw:
        if controls is not None:
            controls()
        for place, quantity in zip(side_by_side(name, 2), quantities, strict=True):
            chart = lab_curve(drawn, quantity, unit=unit, theme_name=theme_name)
            draw(chart, place=place, alt=f"{quantity} over steps", key=f"{name}_{quantity}")


def _spread_card(drawn: list[LabRun]) -> None:
    from analysis.entropy_collapse.labs.four_squares.exchange_figures import entropy_path
    from analysis.entropy_collapse.labs.four_squares.figures import lab_curve

    unit, theme_name = state.unit(), state.theme_name()

    def path() -> Any:
        return entropy_path(drawn, unit=unit, theme_name=theme_name)

    with altair_card(
        "Token entropy, answer entropy, and where the entropy is",
        "Left: each line starts at the base policy, top right, a point per evaluation. Right: how much sits in one "
        "token of five.",
        path,
        name="squares_spread",
        table=lambda: _table(drawn),
        code=_code(drawn, "exchange_figures", f"exchange_figures.entropy_path(runs, unit={unit!r})"),
        spec=_spec(drawn),
        more=explained.SPREAD,
    ) as draw:
        left, right = side_by_side("squares_spread", 2)
        draw(path(), place=left, alt="Token against answer entropy", key="squares_path")
        share = lab_curve(drawn, "top share", theme_name=theme_name)
        draw(share, place=right, alt="Share of entropy in the top 20 %", key="squares_share")


@st.cache_data(max_entries=128, show_spinner=False)
def _law(key: str, _run: LabRun) -> LawFit | str:
    """The law of a run, or why there is none; kept by the key."""
    del key
    from analysis.entropy_collapse.training.law import LawRefusedError, fit_law

    try:
        return fit_law(_run.entropy, _run.reward, n_boot=_RESAMPLES)
    except LawRefusedError as error:
        return str(error)


def _law_card(drawn: list[LabRun]) -> None:
    from analysis.entropy_collapse.labs.four_squares.exchange_figures import reward_against_entropy

    unit = state.unit()
    laws = {run.settings.key: _law(run.settings.key, run) for run in drawn}
    fits = {key: law for key, law in laws.items() if not isinstance(law, str)}

    some = tuple(n for n, run in enumerate(drawn) if run.settings.key in fits)
    of_which = "runs" if len(some) == len(drawn) else f"(runs[n] for n in {some})  # the others have no law"
    call = (
        f"fitted = {of_which}\n"
        "fits = {run.settings.key: fit_law(run.entropy, run.reward) for run in fitted}\n"
        f"exchange_figures.reward_against_entropy(runs, fits, unit={unit!r})"
    )
    with altair_card(
        "Reward against entropy",
        "A point per training step, time runs from right to left. Lines: the law R = −a exp(H) + b, H in nats.",
        lambda: reward_against_entropy(drawn, fits, unit=unit, theme_name=state.theme_name()),
        alt="Reward against entropy",
        name="squares_law",
        table=lambda: _table(drawn),
        code="from analysis.entropy_collapse.training.law import fit_law\n"
        + _code(drawn, "exchange_figures", call),
        spec=_spec(drawn),
        more=explained.LAW,
    ) as draw:
        draw()
        for run in drawn:
            law, name = laws[run.settings.key], run.settings.intervention.name
            if isinstance(law, str):
                st.caption(plain(f"{name}: no law. {law}"))
                continue
            apart = (
                "a straight line in H fits as well"
                if law.verdict == "undecided"
                else "a straight line is ruled out"
            )
            st.caption(
                plain(
                    f"{name}: a {significant(law.a)}, b {significant(law.b)}, ceiling {significant(law.ceiling)}, "
                    f"R² {law.r2:.2f}; {apart}"
                )
            )


def _change_card(drawn: list[LabRun]) -> None:
    from analysis.entropy_collapse.labs.four_squares.exchange_figures import change_scatter, change_scatters
    from analysis.entropy_collapse.labs.four_squares.results import summary

    unit, theme_name = state.unit(), state.theme_name()
    with altair_card(
        "Predicted against actual change of entropy, step by step",
        "Left: predicted by the exact softmax term. Right: by the covariance. The sizes differ because Adam rescales; "
        "compare sign and order.",
        lambda: change_scatters(drawn, unit=unit, theme_name=theme_name),
        name="squares_change",
        table=lambda: _table(drawn),
        code=_code(drawn, "exchange_figures", f"exchange_figures.change_scatters(runs, unit={unit!r})"),
        spec=_spec(drawn),
        more=explained.CHANGE,
    ) as draw:
        left, right = side_by_side("squares_change", 2)
        exact = change_scatter(drawn, "exact", unit=unit, theme_name=theme_name)
        draw(exact, place=left, alt="Exact term against actual change", key="squares_exact")
        by_covariance = change_scatter(drawn, "covariance", unit=unit, theme_name=theme_name)
        draw(by_covariance, place=right, alt="Covariance against actual change", key="squares_covariance")
        for run in drawn:
            numbers = summary(run)
            st.caption(
                plain(
                    f"{run.settings.intervention.name}: correlation {significant(numbers['exact_correlation'])} "
                    f"(exact), {significant(numbers['covariance_correlation'])} (covariance); covariance above 0 in "
                    f"{significant(100 * numbers['covariance_positive'])} % of steps"
                )
            )


def _table(drawn: list[LabRun]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([run.to_frame(state.unit()) for run in drawn], ignore_index=True)


def _spec(drawn: list[LabRun]) -> str:
    first = drawn[0].settings
    names = ", ".join(run.settings.intervention.describe() for run in drawn)
    return f"{names} · seed {first.seed} · {first.subtitle.split(' · ', 3)[3]}"


def _code(drawn: list[LabRun], module: str, call: str) -> str:
    first = drawn[0].settings
    interventions = ", ".join(repr(run.settings.intervention) for run in drawn)
    classes = ", ".join(sorted({type(run.settings.intervention).__name__ for run in drawn}))
    return (
        f"from analysis.entropy_collapse.labs.four_squares import {module}\n"
        "from analysis.entropy_collapse.labs.four_squares.grpo import run_lab\n"
        f"from analysis.entropy_collapse.labs.four_squares.interventions import {classes}\n"
        "from analysis.entropy_collapse.labs.four_squares.results import LabSettings\n\n"
        f"chosen = [{interventions}]\n"
        f"runs = [run_lab(LabSettings(one, seed={first.seed}, steps={first.steps})) for one in chosen]\n"
        f"{call}\n"
    )
