"""Rules from papers over two sides: along the aligned tokens, and as a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.comparison.rules.laid import Laid
from analysis.comparison.rules.registry import RULES, Rule, lay
from analysis.comparison.rules.strips import laid_strip
from analysis.errors import AnalysisError
from app import state
from app.compute import requests as runs
from app.panels.compare import running
from app.panels.compare.along import chosen_position
from app.panels.compare.code import comparison_code
from app.widgets.figure_card import altair_card
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.pressed import pressed
from app.widgets.run_status import outcome, try_submit
from app.widgets.token_strip import picked_token, token_strip

if TYPE_CHECKING:
    from analysis.comparison.rules.origin import Constant
    from analysis.models.loading import LanguageModel
    from app.compute.job import Job
    from app.panels.compare.running import Shown

_STRIP_HEIGHT = 150
TITLE = "Rules from papers, for two models"


def rules_card(on_screen: Shown) -> None:
    """Draw the card of the chosen rule."""
    rule = RULES[st.session_state.get(state.COMPARE_RULE) or next(iter(RULES))]
    why_not = rule.why_not(on_screen.c)
    if why_not:
        _without(rule, why_not)
        return
    try:
        found = (
            _measured(on_screen, rule)
            if rule.needs == "heads"
            else lay(rule.name, on_screen.c, **_constants(rule))
        )
    except AnalysisError as problem:
        _without(rule, f"{problem.message} {problem.hint}")
        return
    if found is None:
        return
    _along(on_screen, rule, found)
    if found.curve is not None:
        _curve(rule, found)


def _measured(on_screen: Shown, rule: Rule) -> Laid | None:
    """A rule that asks for whole distributions: computed when a person asks for it; None until then.

    Raises
    ------
    AnalysisError
        If there is no model that could.
    """
    request = st.session_state.get(state.COMPARED_REQUEST)
    if request is None or request.run is None:
        raise AnalysisError(
            "This rule asks for both sides' whole distributions, and a file holds no model.",
            "Press Run both first.",
        )
    c, constants = on_screen.c, _constants(rule)
    options = (rule.name, on_screen.swapped, *sorted(constants.items()))
    experiment = runs.Experiment(
        runs.OfModel(request.run.model, request.key), "compare_rule", (("of", options),)
    )
    job = runs.find(experiment)
    if job is not None and job.state == "done":
        result: Laid = job.result
        return result

    def compute(model: LanguageModel, job: Job) -> Laid:
        from analysis.comparison.rules.with_model import lay_with_model

        return lay_with_model(rule.name, c, model, on_progress=job.report, **constants)

    with st.container(border=True, key="panel_compare_rule"):
        st.markdown(f"**{TITLE}**", help=_about(rule))
        _choice(rule)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("Asks for both sides' whole distributions: both heads run once more.", width="stretch")
            if pressed(
                "Measure distributions", key="compare_rule_button", disabled=job is not None and job.is_live
            ):
                job = try_submit(runs.submit_experiment, experiment, compute)
        if job is not None:
            outcome(job, (180,))
    return None


def _choice(rule: Rule) -> None:
    """The rule, and its constants behind a button."""
    with st.container(key="rule_controls", horizontal=True, vertical_alignment="center", gap="small"):
        st.selectbox(
            "Rule",
            list(RULES),
            key=state.COMPARE_RULE,
            bind="query-params",
            label_visibility="collapsed",
            format_func=lambda name: RULES[name].label,
            width=300,
        )
        if st.session_state[state.COMPARE_RULE] != rule.name:
            st.rerun()  # first said by the address
        if rule.origin.constants:
            with st.popover("Constants", key="rule_constants"):
                for constant in rule.origin.constants:
                    _constant(rule, constant)


def _constant(rule: Rule, constant: Constant) -> None:
    st.number_input(
        f"{constant.label}{f', {constant.unit}' if constant.unit else ''}",
        float(constant.low),
        float(constant.high),
        float(constant.default),
        float(constant.step),
        "%.0f" if constant.is_whole else "%g",
        key=state.rule_constant(rule.name, constant.name),
        bind="query-params",
        help=f"How well it is known: {constant.known}.",
    )


def _constants(rule: Rule) -> dict[str, Any]:
    """What a person has set, else the rule's own."""
    out = {}
    for constant in rule.origin.constants:
        held = st.session_state.get(state.rule_constant(rule.name, constant.name), constant.default)
        out[constant.name] = int(held) if constant.is_whole else float(held)
    return out


def _lay_code(rule: Rule) -> str:
    """Notebook lines that lay the rule over the comparison, with the constants on screen."""
    module, function, model = (
        ("with_model", "lay_with_model", ", model") if rule.needs == "heads" else ("registry", "lay", "")
    )
    constants = "".join(f", {name}={value!r}" for name, value in _constants(rule).items())
    return (
        f"from analysis.comparison.rules.{module} import {function}\n\n"
        f"laid = {function}({rule.name!r}, c{model}{constants})\n"
    )


def _along(on_screen: Shown, rule: Rule, found: Laid) -> None:
    c, unit, theme_name = on_screen.c, state.unit(), state.theme_name()
    item = running.chosen_item(on_screen)
    row = int((on_screen.items.row if found.over == "pairs" else on_screen.items.span)[item])
    at = row if row >= 0 else None
    with altair_card(
        TITLE,
        plain(found.says(unit)),
        lambda: figures.comparison_rule(c, found, unit=unit, theme_name=theme_name, item=at),
        alt=f"What the rule {rule.label} says along the text",
        name="compare_rule",
        key=state.RULE_CHART,
        phrase=plain(rule.origin.sides),
        table=lambda: found.to_frame(c, unit),
        code=comparison_code(f"{_lay_code(rule)}an.figures.comparison_rule(c, laid, unit={unit!r})"),
        more=_about(rule),
    ) as draw:
        _choice(rule)
        strip, chosen = laid_strip(c, found, unit=unit), chosen_position(on_screen)
        picked = picked_token(strip, key="rule_strip", selected=chosen)
        if picked is not None and picked != chosen:
            running.choose_position(picked)
            st.rerun()  # what is above is drawn already
        token_strip(strip, key="rule_strip", selected=picked, height=_STRIP_HEIGHT)
        draw()


def _curve(rule: Rule, found: Laid) -> None:
    unit, theme_name, curve = state.unit(), state.theme_name(), found.curve
    assert curve is not None
    with altair_card(
        f"{plain(curve.y_name[:1].upper() + curve.y_name[1:])} against {plain(curve.x_name)}",
        "The dot is what the constants above give.",
        lambda: figures.comparison_curve(curve, unit=unit, theme_name=theme_name),
        alt="Curve of the rule",
        name="compare_rule_curve",
        phrase=rule.label,
        table=lambda: curve.to_frame(unit),
        code=comparison_code(f"{_lay_code(rule)}an.figures.comparison_curve(laid.curve, unit={unit!r})"),
        more=_about(rule),
    ) as draw:
        draw()


def _about(rule: Rule) -> str:
    origin = rule.origin
    constants = "; ".join(f"{one.label}: {one.known}" for one in origin.constants)
    return (
        f"**Formula.** {plain(origin.formula)}\n\n**Sides.** {plain(origin.sides)}\n\n**Source.** {plain(origin.source)}\n\n"
        f"**How well it is known.** {plain(origin.known)}. {plain(origin.note)}"
        + (f"\n\n**Constants.** {plain(constants)}." if constants else "")
    )


def _without(rule: Rule, why: str) -> None:
    with st.container(border=True, key="panel_compare_rule"):
        st.markdown(f"**{TITLE}**", help=_about(rule))
        _choice(rule)
        unavailable(rule.label, why)
