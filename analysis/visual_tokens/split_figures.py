"""How often answers stay right over many questions, against how few visual tokens are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from analysis.drawing.charts import alt, styled
from analysis.drawing.theme import theme
from analysis.visual_tokens.split_results import BLURRED, INSIDE_CONTROL
from analysis.visual_tokens.sweep_figures import COUNTED, Counted, method_curves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analysis.visual_tokens.split_results import SplitSweep


def split_rows(split: SplitSweep, kind: str | None = None, counted: Counted = "kept") -> pd.DataFrame:
    """One row per method and number of tokens: share of right answers with its 95 % interval; without all tokens."""
    frame = split.to_frame(kind).iloc[1:]
    frame = frame[(frame["why"] == "") & (frame["policy"] != BLURRED)]
    return frame.assign(
        tokens=frame[counted].astype(float),
        mean=frame["right"],
        low=frame["right_low"],
        high=frame["right_high"],
    )[["policy", "label", "asked", "tokens", "mean", "low", "high"]]


def split_sentence(split: SplitSweep, kind: str | None = None) -> str:
    """What is drawn, and which methods beat the controls anywhere beyond doubt, in words."""
    frame = split.to_frame(kind)
    full = frame.iloc[0]
    better = []
    for number, row in frame.iloc[1 : len(split.cells)].iterrows():
        inside = not row["why"] and split.prunes_inside(int(str(number)))
        controls = ("random", "downsampling", *((INSIDE_CONTROL,) if inside else ()))
        if row["policy"] != INSIDE_CONTROL and all(row.get(f"against_{c}_low", 0) > 0 for c in controls):
            mean = f" ({row['average']:.0f} on average over layers)" if inside else ""
            better.append(f"{row['label']} at {row['asked']}{mean}")
    said = ", ".join(better[:4]) + (f" and {len(better) - 4} more" if len(better) > 4 else "")
    blurred = frame.loc[frame["policy"] == BLURRED, "right"]
    soft = f", {100 * blurred.iloc[0]:.1f} % of a blurred picture" if len(blurred) else ""
    return (
        f"{int(full['questions'])} questions; with all tokens {100 * full['right']:.1f} % are right{soft}. Better than random and "
        "down-sampling to as many, inside the language model than random from layer 2 too, all beyond their 95 % intervals: "
        f"{said or 'no method'}."
    )


def split_curves(
    split: SplitSweep,
    kind: str | None = None,
    *,
    counted: Counted = "kept",
    theme_name: str = "light",
    order: Sequence[str] = (),
) -> alt.LayerChart:
    """Draw the share of right answers of every method.

    Parameters
    ----------
    split : SplitSweep
    kind : str, optional
        Questions of one kind; all by default.
    counted : {"kept", "average"}
        What the lower axis counts.
    theme_name : {"light", "dark"}
        Colours.
    order : sequence of str
        All methods, which decides their colours; those of the sweep by default.
    """
    colours, frame = theme(theme_name), split_rows(split, kind, counted)
    curves = method_curves(
        frame, "right answers, share", COUNTED[counted], order, colours, spread="of the 95 % interval", bars=True
    )  # fmt: skip
    whole = split.to_frame(kind).set_index("policy")
    lines = [
        alt.Chart(pd.DataFrame({"right": [whole["right"][name]], "said": [whole["label"][name]]}))
        .mark_rule(color=colours.muted, strokeDash=dash)
        .encode(y="right:Q", tooltip=["said:N", alt.Tooltip("right:Q", format=".1%")])
        for name, dash in (("full", [2, 2]), (BLURRED, [7, 3]))
        if name in whole.index
    ]
    return styled(alt.layer(*lines, curves).properties(width="container", height=300), theme_name)
