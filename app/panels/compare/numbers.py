"""The numbers at the head of the page Compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from analysis.comparison.findings import Headline, headline
from analysis.drawing.numbers import count, significant
from analysis.units import from_nats
from app import state
from app.panels.compare import running
from app.panels.compare.other_pages import read_on
from app.widgets.layout import icons, number_line

if TYPE_CHECKING:
    from app.panels.compare.running import Shown


def numbers(on_screen: Shown) -> None:
    """Means of A and of B, how far apart they are, and what differs in words."""
    c = on_screen.c
    with st.container(key="compare_numbers", horizontal=True, vertical_alignment="center", gap="small"):
        number_line("compare", _cells(headline(c)))
        with icons("compare"):
            st.button(
                "Swap sides",
                icon=":material/swap_vert:",
                type="tertiary",
                key="swap_sides",
                on_click=running.swap,
                help="Swap sides: A becomes B and B becomes A; nothing is computed again.",
            )
            read_on(on_screen)


def _cells(found: Headline) -> list[tuple[str, str, str]]:
    unit = state.unit()
    per_byte = (
        "bits per byte",
        _both(found.bits_per_byte, "bits per byte"),
        "Surprisal of the compared text in bits over its UTF-8 bytes: the same measure whatever the tokenizer.",
    )
    if found.entropy[0] != found.entropy[0]:  # vocabularies differ
        return [
            per_byte,
            ("spans", count(found.n), "Shortest stretches that both tokenizers cut out of the text."),
        ]
    least = "at least " if found.at_least else ""
    return [
        (
            "entropy A → B",
            _both(found.entropy, unit),
            "Mean entropy of the predictions, over the compared tokens.",
        ),
        ("surprisal A → B", _both(found.surprisal, unit), "Mean surprisal of the text's tokens."),
        (
            "KL(A‖B)",
            f"{least}{significant(from_nats(found.kl, unit))} {unit}",
            "Mean over the compared tokens of the price of B's prediction where A is the truth; a few tokens may make most of it.",
        ),
        (
            "same first choice",
            f"{count(found.n_same_first)} of {count(found.n)}",
            "Tokens before which both sides would have chosen the same token.",
        ),
    ]


def _both(values: tuple[float, float], unit: str) -> str:
    a, b = (significant(from_nats(x, "bits") if unit == "bits" else x) for x in values)
    return f"{a} → {b} {'' if unit == 'bits per byte' else unit}".strip()
