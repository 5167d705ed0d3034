"""Tokens and their probabilities as HTML: words, and bars of what might have come."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from analysis.drawing.labels import runs
from analysis.drawing.numbers import significant

if TYPE_CHECKING:
    import pandas as pd

_PLAIN_DIGITS = 1e-5


def word(text: str) -> str:
    """A token's text, its white space faint."""
    shown = (
        escape(piece) if kind == "letters" else f"<i>{escape(piece)}</i>" for piece, kind in runs(text[:60])
    )
    return f"<code>{''.join(shown)}{'…' * (len(text) > 60)}</code>"


def percent(share: float) -> str:
    """A share in plain decimals."""
    return f"{significant(100 * share)} %" if share >= _PLAIN_DIGITS or not share else "&lt; 0.001 %"


def choices_html(choices: pd.DataFrame) -> list[str]:
    """What might have come, a bar each; the token that came in ink. A table of :func:`likely_tokens`."""
    shares = choices["probability"].tolist()  # the first is the largest
    return [
        f'<div class="story-choice{" came" * came}">{word(token)}'
        f'<s><u style="width:{100 * share / shares[0]:.1f}%"></u></s><span>{percent(share)}</span></div>'
        for token, came, share in zip(choices["token"], choices["came"], shares, strict=True)
    ]
