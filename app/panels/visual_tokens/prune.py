"""What pruning visual tokens costs this answer, method by method, and which patches stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from analysis import figures
from analysis.drawing.numbers import significant
from analysis.units import table_in
from analysis.visual_tokens.patch_figures import SMALL
from analysis.visual_tokens.split_results import CONTROLS
from analysis.visual_tokens.sweep_figures import COUNTED, METRIC_WORDS, VISUAL_METRICS, kept_frame
from analysis.visual_tokens.sweep_results import INFORMATION
from app import state
from app.choice import chosen
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.attention import PICK
from app.panels.visual_tokens.code import question_code
from app.panels.visual_tokens.experiment import experiment
from app.panels.visual_tokens.layers import patches_card
from app.panels.visual_tokens.part import part_control, shows_whole
from app.panels.visual_tokens.request import right_answer
from app.panels.visual_tokens.split import split_panel
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card, show_chart
from app.widgets.layout import side_by_side
from app.widgets.plain import plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from analysis.visual_tokens.results import VisualAnswer
    from analysis.visual_tokens.sweep_results import VisualSweep
    from analysis.visual_tokens.vision_model import VisionModel
    from app.compute.job import Job

FIRST_METHODS = (
    "random",
    "downsampling",
    "fastv",
    "divprune",
    "dart",
    "cdpruner_like",
    "visionzip",
    "entropyprune",
)
SHARES = (0.75, 0.5, 1 / 4, 1 / 9, 1 / 16)
FIRST_SHARES = SHARES[1:]
_COUNTS = {"kept": "by tokens kept", "average": "by mean over layers"}
_SEEDS = 5
_HEIGHT = 380


def prune_cards(a: VisualAnswer) -> None:
    """Draw what asks for the sweep, and its pictures once they are there."""
    for chart in (state.PRUNED_MAP, state.PATCH_MAP):
        take_click(chart, running.choose_patch)
    left, right = side_by_side("maps_prune", 2)
    with left:
        sweep = experiment(
            "prune",
            "Prune this picture",
            "every method, one question",
            "Prune",
            _controls,
            height=_HEIGHT,
            draw_partial=_live,
        )
        is_stored = sweep is None and running.is_example()
        if is_stored:
            sweep = running.example_sweep()
        if sweep is not None:
            _curves(sweep, ", example" if is_stored else "")
            _settings(sweep)
    with right:
        if sweep is None:
            patches_card(a)
        else:
            _kept(a, sweep)
    from analysis.visual_tokens.policies.registry import POLICIES

    methods = st.session_state.get(state.VISUAL_METHODS, FIRST_METHODS)
    shares = st.session_state.get(state.VISUAL_KEPT, FIRST_SHARES)
    split_panel(list(methods), list(shares), list(POLICIES))


def _controls() -> tuple[tuple[tuple[str, object], ...], Any]:
    from analysis.visual_tokens.policies.registry import POLICIES  # torch comes with it

    methods = st.multiselect(
        "Methods",
        list(POLICIES),
        default=list(FIRST_METHODS),
        key=state.VISUAL_METHODS,
        format_func=lambda name: POLICIES[name].label,
        bind="query-params",
        persist_state="session",
    )
    shares = st.multiselect(
        "Share kept",
        SHARES,
        default=list(FIRST_SHARES),
        key=state.VISUAL_KEPT,
        format_func=lambda share: f"{share:.0%}",
        persist_state="session",
        width=280,
    )
    request = running.request_shown()
    answer = right_answer(request)
    question = "" if request is None else request.question

    def compute(vlm: VisionModel, image: Image, job: Job) -> VisualSweep:
        from analysis.visual_tokens.sweep import sweep_visual

        return sweep_visual(
            vlm, image, question, methods, shares, answer=answer, on_progress=job.report, on_partial=job.show
        )

    options = (("policies", tuple(methods)), ("kept", tuple(shares)))
    return options, compute if methods and shares else None


def _live(sweep: VisualSweep) -> None:
    """The curves so far."""
    if len(sweep.settings) > 1:
        show_chart(
            figures.visual_curves(sweep, unit=state.unit(), theme_name=state.theme_name()),
            alt="KL against visual tokens, so far",
            key="visual_live",
        )


def _call(sweep: VisualSweep) -> str:
    names = list(dict.fromkeys(setting.policy for setting in sweep.settings[1:]))
    kept = sorted({setting.asked for setting in sweep.settings[1:]}, reverse=True)
    answer = f", answer={sweep.answer!r}" if sweep.is_right_answer else ""
    return f"{question_code()}sweep = an.sweep_visual(vlm, image, question, policies={names}, kept={kept}{answer})\n"


def _curves(sweep: VisualSweep, said: str) -> None:
    from analysis.visual_tokens.policies.registry import POLICIES

    unit, theme_name = state.unit(), state.theme_name()
    metric = chosen(VISUAL_METRICS, state.VISUAL_METRIC)
    counted = chosen(list(COUNTED), state.VISUAL_COUNTED)
    order = list(POLICIES)
    with altair_card(
        "What is lost",
        f"Mean over {_SEEDS} seeds for random; its band is from the lowest to the highest. "
        "Grey and dashed ink are the controls that a method has to beat.",
        lambda: figures.visual_curves(
            sweep, metric, counted=counted, unit=unit, theme_name=theme_name, order=order
        ),
        name="visual_curves",
        alt=f"{METRIC_WORDS[metric].title} against visual tokens",
        phrase=f"{METRIC_WORDS[metric].label}{said}",
        table=lambda: table_in(sweep.to_frame(), INFORMATION, unit),
        code=f"{_call(sweep)}an.figures.visual_curves(sweep, {metric!r}, counted={counted!r}, unit={unit!r})\n",
        more=explained.PRUNE,
    ) as draw:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.selectbox(
                "Measured by",
                VISUAL_METRICS,
                key=state.VISUAL_METRIC,
                format_func=lambda name: METRIC_WORDS[name].label,
                persist_state="session",
                label_visibility="collapsed",
                width=170,
            )
            st.selectbox(
                "Count",
                list(COUNTED),
                key=state.VISUAL_COUNTED,
                format_func=_COUNTS.__getitem__,
                persist_state="session",
                label_visibility="collapsed",
                width=170,
            )
        draw()


def _kept(a: VisualAnswer, sweep: VisualSweep) -> None:
    ran = [k for k, setting in enumerate(sweep.settings) if k and not setting.why]
    if not ran:
        return
    held = st.session_state.get(state.VISUAL_SETTING)
    tested = [k for k in ran if sweep.settings[k].policy not in CONTROLS]
    setting = held if held in ran else (tested or ran)[0]
    theme_name, patch, whole = state.theme_name(), running.chosen_patch(a), shows_whole(a.picture)
    this = sweep.settings[setting]
    with altair_card(
        "Patches that stay",
        f"Answer “{plain(this.answer)}”, KL of its first token {significant(this.kl_first)} nats. Point at a patch to see "
        "when it goes.",
        lambda: figures.kept_on_picture(
            a.picture, sweep, setting, theme_name=theme_name, patch=patch, whole=whole
        ),
        name="kept_on_picture",
        alt="The picture with the pruned patches veiled",
        key=state.PRUNED_MAP,
        phrase=f"{this.kept} of {sweep.n_visual}",
        table=lambda: kept_frame(a.picture, sweep, setting),
        code=f"{_call(sweep)}a = an.ask(vlm, image, question)\nan.figures.kept_on_picture(a.picture, sweep, {setting}{', whole=True' * whole})\n",
        more=explained.KEPT,
    ) as draw:
        st.selectbox(
            "Method and tokens",
            ran,
            index=ran.index(setting),
            key=state.VISUAL_SETTING,
            format_func=lambda k: _name(sweep, k),
            label_visibility="collapsed",
        )
        part_control(a.picture)
        shown = figures.kept_on_picture(
            a.picture, sweep, setting, theme_name=theme_name, patch=patch, whole=whole, side=SMALL, pick=True
        )
        draw(shown, width="content", **PICK)


def _name(sweep: VisualSweep, k: int) -> str:
    this = sweep.settings[k]
    seed = f", seed {this.seed}" if this.policy == "random" else ""
    return f"{this.label}: {this.kept} kept{seed}"


def _settings(sweep: VisualSweep) -> None:
    """What could not be run, each with the reason."""
    missing: dict[tuple[str, str], list[str]] = {}
    for setting in sweep.settings:
        if setting.why:
            missing.setdefault((setting.label, setting.why), []).append(f"{setting.asked:.0%}")
    for (label, why), shares in missing.items():
        st.caption(f"{plain(label)} at {plain(', '.join(shares))}: not available. {plain(why)}")
