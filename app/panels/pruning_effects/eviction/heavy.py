"""Pruning effects before any comparison: how much of the run's attention its heaviest tokens draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.pruning_effects.eviction.attention_mass import heaviest, heavy_frame, heavy_tokens
from app import state
from app.panels.pruning_effects.eviction import help as explained
from app.widgets.figure_card import altair_card, notebook_code
from app.widgets.messages import unavailable

if TYPE_CHECKING:
    from analysis.results.trace import Trace


def heavy(trace: Trace) -> None:
    """Draw the picture that the run itself has of what could be dropped."""
    attention = trace.attention
    if attention is None:
        unavailable(
            "Attention of the heaviest tokens",
            trace.unavailable.get("attention", "The opened file was made without attention."),
        )
        return
    share, drawn = heaviest(attention)
    with altair_card(
        "What the heaviest tokens draw",
        f"The heaviest {share:.0%} of the tokens draw {drawn:.0%} of the attention, mean over heads. "
        "Band: lowest and highest head.",
        lambda: heavy_tokens(trace, theme_name=state.theme_name()),
        phrase="what a cache could drop at best",
        alt="Attention drawn by the heaviest tokens, against how many of them there are",
        name="heavy",
        table=lambda: heavy_frame(attention),
        code=notebook_code(trace, "an.figures.heavy_tokens(trace)"),
        more=explained.HEAVY,
    ) as draw:
        draw()
