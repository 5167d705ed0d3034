"""The pictures of the lesson first token. Results in, charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.attention_sinks.summary import mean_received
from analysis.drawing.labels import visible
from analysis.lessons.first_token.claims import (
    SHOWN,
    FirstToken,
    by_layer,
    token_name,
)
from analysis.lessons.lesson import Drawn
from analysis.lessons.pictures import ALONE, HIGH, LOW, Cover, Line, Note, bars, curves
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    pass


def _received(m: FirstToken, layer: int, theme_name: str, height: int, cover: Cover | None) -> Drawn:
    number = int(m.attention.layer_numbers[layer])
    received = mean_received(m.attention, number)[:SHOWN].astype(float)
    chart = bars(
        received, picture="attention_sinks", theme_name=theme_name, x="token", y="of all attention", height=height, ink=(0,), cover=cover,
        top=1.0, percent=True, names=[visible(text) for text in m.trace.tokens.text[:SHOWN]],
    )  # fmt: skip
    return Drawn(
        f"Attention that each token gets in layer {number}",
        f"the first {len(received)} tokens, mean over heads",
        chart,
        f"Attention received by the first tokens in layer {number}",
    )


def draw_how_much(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "how much"."""
    return [_received(m, at, theme_name, ALONE, None if is_answered else Cover(-0.5, 2.5))]


def draw_where(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "where"."""
    mass, layers = by_layer(m), m.attention.layer_numbers
    cover = (
        None
        if is_answered
        else Cover(-0.5, float(layers[-1]) + 0.5, "attention on token 0, layer by layer: ?")
    )
    chart = curves(
        [Line(mass, at=layers)], picture="attention_sinks", theme_name=theme_name, x="layer", y="on token 0", height=HIGH,
        chosen=float(layers[at]), cover=cover, top=1.0, percent=True,
    )  # fmt: skip
    heads = m.attention.sink_mass[at].astype(float) if is_answered else np.full(m.attention.n_heads, np.nan)
    single = bars(
        np.nan_to_num(heads), picture="attention_sinks", theme_name=theme_name, x="head", y="on token 0", height=LOW, top=1.0, percent=True,
        cover=None if is_answered else Cover(-0.5, m.attention.n_heads - 0.5),
    )  # fmt: skip
    number = int(layers[at])
    return [
        Drawn(
            f"Attention on token 0, each head of layer {number}",
            "share of the head's attention",
            single,
            f"Attention on token 0 by head in layer {number}",
        ),
        Drawn("Mean over the heads", "by layer", chart, "Attention on token 0 over the layers"),
    ]


def draw_hidden(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "hidden"."""
    names = [visible(text) for text in m.trace.tokens.text[:SHOWN]]
    before, after = mean_received(m.attention)[:SHOWN], m.hidden_received[:SHOWN].astype(float)
    top = max(float(before.max()), float(after.max())) * 1.15
    plain = bars(
        before.astype(float), picture="attention_sinks", theme_name=theme_name, x="token", y="attention", height=LOW, ink=(at,), top=top, percent=True, names=names,
    )  # fmt: skip
    hidden = bars(
        np.where(np.arange(len(after)) == 0, np.nan, after), picture="attention_sinks", theme_name=theme_name, x="token", y="attention", height=HIGH,
        ink=(at,), top=top, percent=True, names=names, cover=None if is_answered else Cover(0.5, SHOWN - 0.5, "with token 0 hidden: ?"),
        notes=[Note(at + 1, float(after[at]), f"token {at} {token_name(m, at)}: {percent(float(after[at]))}")] if is_answered and 0 < at < len(after) else (),
    )  # fmt: skip
    return [
        Drawn(
            "Attention that each token gets",
            "mean over layers and heads",
            plain,
            "Attention received by the first tokens",
        ),
        Drawn(
            "The same with token 0 hidden",
            "every later token sees all but token 0",
            hidden,
            "Attention received when token 0 is hidden",
        ),
    ]


def draw_says(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    """The pictures of "says"."""
    number = int(m.attention.layer_numbers[at])
    norms = m.attention.value_norm[at].mean(0)[:SHOWN].astype(float)
    chart = bars(
        norms, picture="attention_sinks", theme_name=theme_name, x="token", y="norm", height=HIGH, ink=(0,), rule=float(np.median(norms[1:])),
        cover=None if is_answered else Cover(-0.5, 2.5), names=[visible(text) for text in m.trace.tokens.text[:SHOWN]],
    )  # fmt: skip
    return [
        _received(m, at, theme_name, LOW, None),
        Drawn(
            f"What each token says in layer {number}",
            "norm of its value, mean over KV heads; dashed: median of the others",
            chart,
            f"Norms of the values in layer {number}",
        ),
    ]
