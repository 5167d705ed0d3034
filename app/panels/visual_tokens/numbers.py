"""The numbers at the head of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.drawing.numbers import significant
from analysis.units import from_nats
from analysis.visual_tokens.findings import answer_finding
from app import state
from app.panels.visual_tokens import running
from app.panels.visual_tokens.request import right_answer
from app.widgets.layout import number_line
from app.widgets.plain import plain

if TYPE_CHECKING:
    from analysis.visual_tokens.results import VisualAnswer


def numbers(a: VisualAnswer) -> None:
    """The answer, whether it is right, how sure it was, and how much it looked at the picture."""
    found, unit = answer_finding(a), state.unit()
    right = right_answer(running.request_shown())
    said = plain(a.text) or "nothing"
    cells = [
        (
            "answer",
            said if len(said) <= 40 else f"{said[:40]}…",
            "What the model wrote, one most probable token after the other.",
        )
    ]
    if right is not None:
        cells.append(("right answer", plain(right), "What the scene was made with."))
    cells += [
        ("probability", f"{significant(100 * found.probability)} %", "Of the whole answer, its end included: product over its tokens."),
        ("entropy", f"{significant(from_nats(found.entropy, unit))} {unit}", "Mean over the written tokens of the entropy just before each."),
        ("on the picture", f"{significant(100 * found.picture)} %", "Share of the written tokens' attention on visual tokens, mean over layers and heads."),
        ("MDI", significant(found.mdi),
         "Modality dominance index: attention per text token over attention per visual token, median over layers, position 0 left out. Above 1 text dominates."),
    ]  # fmt: skip
    number_line("visual", cells)
