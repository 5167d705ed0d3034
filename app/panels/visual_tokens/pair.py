"""Two answers beside each other: both pictures on one scale, what differs patch by patch, layers and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from analysis import figures
from analysis.drawing.numbers import short
from analysis.errors import AnalysisError
from analysis.visual_tokens.answer_pair import compare_answers
from analysis.visual_tokens.looking_figures import PARTS
from analysis.visual_tokens.pair_figures import (
    pair_frame,
    pair_sentence,
    pair_shares_frame,
    strongest_colour,
)
from analysis.visual_tokens.patch_figures import SMALL
from analysis.visual_tokens.strips import pair_strips
from app import state
from app.choice import chosen
from app.panels.visual_tokens import help as explained
from app.panels.visual_tokens import running
from app.panels.visual_tokens.attention import PICK, chosen_parts, map_card, map_controls
from app.panels.visual_tokens.code import pair_code
from app.panels.visual_tokens.part import shows_whole
from app.panels.visual_tokens.second import ask_second
from app.widgets.clicks import take_click
from app.widgets.figure_card import altair_card, show_chart, table_card
from app.widgets.layout import side_by_side
from app.widgets.messages import unavailable
from app.widgets.plain import plain
from app.widgets.token_strip import token_strip

if TYPE_CHECKING:
    from analysis.visual_tokens.answer_pair import AnswerPair
    from analysis.visual_tokens.results import VisualAnswer

_STRIP_HEIGHT = 84


def pair_cards(a: VisualAnswer) -> None:
    """Draw what asks for the second answer, and what both say."""
    for chart in (state.PAIR_A, state.PAIR_B, state.PAIR_DIFFERENCE):
        take_click(chart, running.choose_patch)
    take_click(state.PAIR_SHARES, running.choose_layer)
    ask_second()
    try:
        pair = compare_answers(a, running.second()[0])
    except AnalysisError as problem:
        unavailable("Two answers", f"{problem.message} {problem.hint}")
        map_card(a)
        return
    tokens = _both_card(pair)
    left, right = side_by_side("maps_pair_below", 2)
    with left:
        if pair.same_picture:
            _difference_card(pair, tokens)
        else:
            _numbers_card(pair)
    with right:
        _shares_card(pair, tokens)
    if pair.same_picture:
        _numbers_card(pair)


def _chosen(pair: AnswerPair) -> tuple[tuple[int, int], int | None, int | None, bool]:
    """Written tokens of both, layer, head, and whether sinks are left out."""
    token, layer, head = chosen_parts(pair.a)
    without = bool(st.session_state.get(state.LOOK_SINKS, st.query_params.get(state.LOOK_SINKS) == "true"))
    return (token, running.second_token(pair.b, token)), layer, head, without


def _both_card(pair: AnswerPair) -> tuple[int, int]:
    """Both answers and where their chosen tokens look; gives the tokens, one of which may be chosen here."""
    tokens, layer, head, without = _chosen(pair)
    patch, theme_name = running.chosen_patch(pair.a), state.theme_name()
    where = f"{tokens}, {layer}, {head}, without_sinks={without}" + ", whole=True" * shows_whole(
        pair.a.picture
    )
    with altair_card(
        "Two answers and their attention",
        "Both pictures have one scale. "
        + (
            "Click a token in either answer, or a patch."
            if pair.same_picture
            else "The pictures differ, so that no patch of one is a patch of the other."
        ),
        lambda: figures.attention_of_pair(
            pair,
            tokens,
            layer,
            head,
            theme_name=theme_name,
            patch=patch,
            without_sinks=without,
            whole=shows_whole(pair.a.picture),
        ),
        name="attention_of_pair",
        alt="Both pictures with the attention of a written token of each answer on them",
        phrase="amber: entropy; indigo: attention",
        table=lambda: pair_frame(pair, tokens, layer, head),
        code=pair_code(f"an.figures.attention_of_pair(pair, {where})"),
        spec=f"A: {pair.a.spec.subtitle} B: {pair.b.spec.subtitle}",
        more=explained.PAIR,
    ):
        map_controls(pair.a)
        top = strongest_colour(pair, tokens, layer, head, without_sinks=without)
        strips = pair_strips(pair, unit=state.unit())
        picked = list(tokens)
        answers, keys = (pair.a, pair.b), (state.PAIR_A, state.PAIR_B)
        columns = side_by_side("maps_pair", 2)
        for k, name in enumerate("AB"):
            one = answers[k]
            with columns[k], st.container(key=f"pair_side_{name}", gap="xsmall"):
                st.markdown(f"**{name}** {plain(one.spec.question)}")
                clicked = token_strip(
                    strips[k], key=f"pair_strip_{name}", selected=tokens[k], height=_STRIP_HEIGHT
                )
                if clicked is not None and clicked < len(one.tokens):
                    picked[k] = clicked
                clickable = k == 0 or pair.same_picture
                show_chart(
                    figures.attention_on_picture(
                        one, picked[k], layer, head, theme_name=theme_name,
                        patch=patch if clickable else None, without_sinks=without, side=SMALL, pick=clickable, top=top,
                        whole=shows_whole(one.picture),
                    ),
                    alt=f"Picture of answer {name} with the chosen token's attention on it",
                    key=keys[k],
                    width="content",
                    **(PICK if clickable else {}),
                )  # fmt: skip
        if picked[0] != tokens[0]:
            running.choose_token(picked[0])
        if picked[1] != tokens[1]:
            running.choose_second_token(picked[1])
    return picked[0], picked[1]


def _difference_card(pair: AnswerPair, tokens: tuple[int, int]) -> None:
    _, layer, head, without = _chosen(pair)
    patch, theme_name = running.chosen_patch(pair.a), state.theme_name()
    whole = shows_whole(pair.a.picture)
    where = f"{tokens}, {layer}, {head}, without_sinks={without}" + ", whole=True" * whole
    with altair_card(
        "What moves",
        pair_sentence(pair, tokens, layer, head),
        lambda: figures.attention_difference(
            pair, tokens, layer, head, theme_name=theme_name, patch=patch, without_sinks=without, whole=whole
        ),
        name="attention_difference",
        alt="The picture with B's attention less A's on every patch",
        key=state.PAIR_DIFFERENCE,
        phrase="B less A",
        table=lambda: pair_frame(pair, tokens, layer, head),
        code=pair_code(f"an.figures.attention_difference(pair, {where})"),
        more=explained.PAIR,
    ) as draw:
        shown = figures.attention_difference(
            pair,
            tokens,
            layer,
            head,
            theme_name=theme_name,
            patch=patch,
            without_sinks=without,
            whole=whole,
            pick=True,
        )
        draw(shown, width="content", **PICK)


def _shares_card(pair: AnswerPair, tokens: tuple[int, int]) -> None:
    theme_name, layer = state.theme_name(), running.chosen_layer(pair.a)
    parts = list(dict.fromkeys(pair_shares_frame(pair, tokens)["part"]))
    part = chosen(parts, state.PAIR_PART)
    with altair_card(
        "Both, layer by layer",
        "Mean over heads. Click a layer to see it on the pictures, click it again for all.",
        lambda: figures.pair_shares(pair, tokens, part, theme_name=theme_name, layer=layer),
        name="pair_shares",
        alt=f"Share of attention on {part} in every layer, of A and of B",
        key=state.PAIR_SHARES,
        phrase=part,
        table=lambda: pair_shares_frame(pair, tokens),
        code=pair_code(f"an.figures.pair_shares(pair, {tokens}, {part!r})"),
        more=explained.SHARES,
    ) as draw:
        st.selectbox(
            "Attention on",
            [name for name in PARTS.values() if name in parts],
            key=state.PAIR_PART,
            persist_state="session",
            label_visibility="collapsed",
            width=170,
        )
        draw(figures.pair_shares(pair, tokens, part, theme_name=theme_name, layer=layer, pick=True), **PICK)


def _numbers_card(pair: AnswerPair) -> None:
    unit = state.unit()
    with table_card(
        "Both answers in numbers",
        f"A: “{plain(pair.a.text)}”, B: “{plain(pair.b.text)}”. Shares are means over written tokens, layers and heads.",
        name="pair_numbers",
        phrase="difference: B less A",
        table=lambda: pair.to_frame(unit),
        code=pair_code(f"pair.to_frame({unit!r})"),
        more=explained.PAIR,
    ):
        frame = pair.to_frame(unit)
        shown = pd.DataFrame(
            {
                "": frame["quantity"],
                "A": [short(value) for value in frame["a"]],
                "B": [short(value) for value in frame["b"]],
                "B less A": [short(value, signed=True) for value in frame["difference"]],
                "unit": frame["unit"],
            }
        )
        st.dataframe(shown, hide_index=True, key="pair_rows", height="content")
