"""Entropy collapse over training: the law of reward against entropy, and what entropy was spent on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from app import state
from app.choice import chosen
from app.panels.entropy_collapse.training import help as explained
from app.widgets.figure_card import altair_card
from app.widgets.layout import number_line
from app.widgets.messages import show_unavailable
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.entropy_collapse.training.law import LawFit, Prediction
    from analysis.entropy_collapse.training.results import TrainingCurve

_FIRST_PART = 30


@st.fragment
def law(curves: list[TrainingCurve]) -> None:
    """Fit the law to one run, or say why it cannot be fitted."""
    from analysis.entropy_collapse.training.law import LawRefusedError, law_of

    names = [curve.name for curve in curves]
    name = chosen(names, state.LAW_RUN)
    share = st.session_state.get(state.FIRST_PART, _FIRST_PART)
    curve = next(c for c in curves if c.name == name)
    try:
        fit = law_of(curve)
    except LawRefusedError as refusal:
        _refused(names, curve, refusal)
        return
    prediction = _prediction(fit, share / 100)
    _draw(names, curve, fit, prediction)
    _numbers(fit, prediction)


def _controls(names: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="line_law"):
        st.selectbox("Law of the run", names, key=state.LAW_RUN, label_visibility="collapsed", width=220)
        with st.popover("First part", key="first_part_popover"):
            st.slider(
            "Fit on the first part, %", 10, 90, _FIRST_PART, 5, key=state.FIRST_PART, bind="query-params",
            help="The law of this part alone is drawn too, and tried on the rest of the run.",
        )  # fmt: skip


def _prediction(fit: LawFit, share: float) -> Prediction | AnalysisError:
    from analysis.entropy_collapse.training.law import LawRefusedError, predict_rest

    try:
        return predict_rest(fit.entropy, fit.reward, share=share)
    except LawRefusedError as refusal:
        return refusal


def _refused(names: list[str], curve: TrainingCurve, refusal: AnalysisError) -> None:
    from analysis.entropy_collapse.training.law_figures import points_chart

    if not curve.has("reward"):
        with st.container(border=True, key="panel_law"):
            _controls(names)
            st.markdown("**The law is not fitted to this run**")
            st.caption(f"{plain(refusal.message)} {plain(refusal.hint)}")
        return

    with altair_card(
        "Reward against entropy",
        "One point a step, darker along the run. No law is drawn through them.",
        lambda: points_chart(curve, unit=state.unit(), theme_name=state.theme_name()),
        alt="Reward against entropy",
        name="law",
        table=curve.to_frame,
        code=_code(curve, "law_figures.points_chart(curve)"),
        more=explained.LAW,
    ) as draw:
        _controls(names)
        draw()
        st.caption(f"The law is not fitted to this run: {plain(refusal.message)} {plain(refusal.hint)}")


def _interval(pair: tuple[float, float]) -> str:
    return f"{significant(pair[0])} to {significant(pair[1])}"


def _numbers(fit: LawFit, prediction: Prediction | AnalysisError) -> None:
    rest = "not available" if isinstance(prediction, AnalysisError) else significant(prediction.rmse)
    why = str(prediction) if isinstance(prediction, AnalysisError) else (
        f"Fitted on {prediction.n_fit} points, tried on the rest: root mean square error in reward. Mean error "
        f"{significant(prediction.mean_error, signed=True)}; the straight line's error is {significant(prediction.line_rmse)}."
    )  # fmt: skip
    cells = [
        ("a", significant(fit.a), f"95 % interval {_interval(fit.a_interval)}"),
        ("b", significant(fit.b), f"95 % interval {_interval(fit.b_interval)}"),
        ("ceiling b − a", significant(fit.ceiling), f"Reward where the entropy is 0. 95 % interval {_interval(fit.ceiling_interval)}"),
        ("R², law", f"{fit.r2:.3f}", f"Of the straight line: {fit.line_r2:.3f}"),
        ("error, rest", rest, why),
    ]  # fmt: skip
    number_line("law", ((label, value, plain(explanation)) for label, value, explanation in cells))


def verdict(fit: LawFit) -> str:
    """What the comparison with the straight line says, in words."""
    if fit.verdict == "law":
        chance = "under 0.1 %" if fit.line_chance < 0.001 else f"{100 * fit.line_chance:.1f} %"
        return (
            f"A straight line in the entropy is ruled out: if it were true, the law would look this much better in {chance} "
            f"of repetitions (R² {fit.line_r2:.3f} against {fit.r2:.3f})."
        )
    return (
        f"These data cannot tell the law from a straight line in the entropy: the two fits differ by at most "
        f"{significant(fit.apart)} in reward, the points scatter by {significant(fit.scatter)} around them."
    )


def _draw(
    names: list[str], curve: TrainingCurve, fit: LawFit, prediction: Prediction | AnalysisError
) -> None:
    from analysis.entropy_collapse.training.law_figures import law_chart

    first = None if isinstance(prediction, AnalysisError) else prediction

    def table() -> Any:
        import pandas as pd

        return pd.DataFrame(
            {
                "entropy": fit.entropy,
                "reward": fit.reward,
                "law": fit.predict(fit.entropy),
                "straight_line": fit.predict_line(fit.entropy),
            }
        )

    with altair_card(
        f"Reward against entropy: R = {significant(fit.b)} − {significant(fit.a)} exp(H), H in nats",
        "One point a step, darker along the run. Solid: where the points are; dashed: beyond. Square: the ceiling. "
        "R is the reward of the log; in the paper it is downstream performance.",
        lambda: law_chart(fit, first, unit=state.unit(), theme_name=state.theme_name()),
        alt="Reward against entropy, with the law",
        name="law",
        table=table,
        code=_code(curve, "law_figures.law_chart(law_of(curve))"),
        more=explained.LAW,
    ) as draw:
        _controls(names)
        draw()
        st.caption(
            plain(
                f"95 % intervals: a {_interval(fit.a_interval)}, b {_interval(fit.b_interval)}, "
                f"ceiling {_interval(fit.ceiling_interval)}. {verdict(fit)}"
            )
        )
        for note in fit.notes:
            st.caption(plain(note))
        if isinstance(prediction, AnalysisError):
            show_unavailable(prediction)


def _code(curve: TrainingCurve, call: str) -> str:
    return (
        "from analysis import read_training_log\n"
        "from analysis.entropy_collapse.training import law_figures\n"
        "from analysis.entropy_collapse.training.law import law_of\n\n"
        f"curve = read_training_log({curve.name!r})  # path of the log\n"
        f"{call}\n"
    )


@st.fragment
def exchange(curves: list[TrainingCurve]) -> None:
    """Draw what every run paid in entropy for its reward."""
    from analysis.entropy_collapse.training.figures import colours_of
    from analysis.entropy_collapse.training.law_figures import spent_chart
    from analysis.entropy_collapse.training.onset import Spent, entropy_spent

    colours = colours_of([curve.name for curve in curves])
    spent: dict[str, Spent] = {}
    problems: dict[str, AnalysisError] = {}
    for curve in curves:
        try:
            spent[curve.name] = entropy_spent(curve)
        except AnalysisError as error:
            problems[curve.name] = error
    for name, problem in problems.items():
        st.caption(f"Entropy spent by **{plain(name)}** is not available: {plain(str(problem))}")
    if not spent:
        return

    def table() -> Any:
        import pandas as pd

        return pd.concat([s.to_frame().assign(run=name) for name, s in spent.items()], ignore_index=True)

    with altair_card(
        "Entropy spent against reward gained",
        "From the bottom left: how much entropy each run lost for its reward. A dot after every tenth of the rows.",
        lambda: spent_chart(spent, colours=colours, unit=state.unit(), theme_name=state.theme_name()),
        alt="Entropy spent against reward gained",
        name="spent",
        table=table,
        code="from analysis import read_training_log\n"
        "from analysis.entropy_collapse.training.law_figures import spent_chart\n"
        "from analysis.entropy_collapse.training.onset import entropy_spent\n\n"
        f"curve = read_training_log({next(iter(spent))!r})  # path of the log\n"
        "spent_chart({curve.name: entropy_spent(curve)})\n",
        more=explained.SPENT,
    ) as draw:
        draw()
