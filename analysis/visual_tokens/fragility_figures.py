"""Which answers break when a picture is changed too little to be seen, with few visual tokens and with all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import theme

if TYPE_CHECKING:
    from analysis.visual_tokens.fragility_results import Fragility

_ROW = 24


def fragility_frame(found: Fragility) -> pd.DataFrame:
    """Table with a row per method and number of tokens, all tokens first, and what is drawn of each: ``name``."""
    full = {
        "method": "all tokens",
        "tokens": None,
        "clean": found.full_clean.mean(),
        "noisy": found.full_noisy.mean(),
    }
    frame = pd.concat([pd.DataFrame([full]), found.to_frame()], ignore_index=True)
    labels = {cell.method: cell.label for cell in found.cells}
    frame.insert(
        0,
        "name",
        [
            labels.get(method, method) + ("" if pd.isna(tokens) else f", {int(tokens)} kept")
            for method, tokens in zip(frame["method"], frame["tokens"], strict=True)
        ],
    )
    return frame


def fragility_chart(found: Fragility, *, theme_name: str = "light") -> alt.LayerChart:
    """Draw right answers on pictures as they are and changed, and the share that compression alone breaks.

    Parameters
    ----------
    found : Fragility
    theme_name : {"light", "dark"}
        Colours.
    """
    colours, frame = theme(theme_name), fragility_frame(found)
    frame = frame[frame["clean"].notna()]
    rose = colours.pictures["pruning_effects"]
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=190, ticks=False, domain=False))
    x = alt.X(
        "share:Q", title="right answers, share", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=".0%")
    )
    long = frame.melt(
        ["name", "broken", "broken_low", "broken_high", "sound"], ["clean", "noisy"], "picture", "share"
    )
    words = {"clean": "as it is", "noisy": "changed"}
    long["picture"] = long["picture"].map(words)
    between = (
        alt.Chart(frame)
        .mark_rule(color=colours.line, strokeWidth=4)
        .encode(y=y, x=alt.X("noisy:Q", title="right answers, share"), x2="clean:Q")
    )
    points = (
        alt.Chart(long)
        .mark_circle(size=80, opacity=1)
        .encode(
            y=y,
            x=x,
            color=alt.Color("picture:N", title=None, scale=alt.Scale(domain=list(words.values()), range=[colours.muted, rose])),
            tooltip=[
                alt.Tooltip("name:N", title="kept"), "picture:N", alt.Tooltip("share:Q", format=".1%", title="right"),
                alt.Tooltip("broken:Q", format=".1%", title="broken by compression alone"),
                alt.Tooltip("broken_low:Q", format=".1%", title="from"), alt.Tooltip("broken_high:Q", format=".1%", title="to"),
                alt.Tooltip("sound:Q", title="of so many questions"),
            ],
        )
    )  # fmt: skip
    return styled(
        alt.layer(between, points).properties(width="container", height=_ROW * len(frame) + 20), theme_name
    )


def fragility_sentence(found: Fragility) -> str:
    """The finding in words: where compression alone breaks most."""
    frame = fragility_frame(found)
    frame = frame[frame["broken"].notna()]
    if not len(frame):
        return "No question was right throughout: nothing that compression alone could break."
    worst = frame.iloc[int(frame["broken"].argmax())]
    return (
        f"Most fragile: {worst['name']}. Of {int(worst['sound'])} questions that were right throughout, "
        f"{100 * worst['broken']:.1f} % (95 %: {100 * worst['broken_low']:.1f} to {100 * worst['broken_high']:.1f}) go wrong."
    )
