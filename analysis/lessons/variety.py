"""One token takes the variety away: its state grows, the others seem to become alike, and without it nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.labels import visible
from analysis.drawing.numbers import count, significant
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.lessons.lesson import Drawn, Finding, Lesson, Option, Slider, Step, within
from analysis.lessons.measuring import read, stored_run
from analysis.lessons.pictures import HIGH, LOW, Cover, Line, Note, bars, curves
from analysis.lessons.story import STORY
from analysis.results.spectra import renyi_entropy
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    from analysis.results.trace import Trace

JUMP = 10.0
"""Times that the state has to grow in one layer to count as a jump."""
GROWN = 3.0
"""Times the others' median from which on a state counts as large."""
FALLS = (0.1, 0.4)
"""Share of the variety lost in one layer that parts the predictions."""
REMAINS = (0.25, 0.75)
"""Share of the fall that is left without token 0."""
DIRECTION = (0.25, 0.6)


def times_others(trace: Trace) -> np.ndarray:
    """Norm of token 0's state over the median of the others, float64, (L + 1,)."""
    norms = trace.layers.residual_norm.astype(float)
    return np.asarray(norms[:, 0] / np.maximum(np.median(norms[:, 1:], axis=1), 1e-12))


def varieties(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Matrix entropy of the states over layers, of all tokens and without token 0: two of (L + 1,), nats."""
    assert trace.layers.spectrum is not None
    return renyi_entropy(trace.layers.spectrum[0]), renyi_entropy(trace.layers.spectrum[1])


def fall_layer(trace: Trace) -> int:
    """The layer into which the variety of all tokens falls most, from 1 on."""
    return int(collapse_layer([trace]).candidate)


def remaining(trace: Trace) -> float:
    """Share of the fall into that layer that is left without token 0; NaN where there is no fall."""
    whole, without = varieties(trace)
    layer = fall_layer(trace)
    fall = float(whole[layer - 1] - whole[layer])
    return float(without[layer - 1] - without[layer]) / fall if fall > 0 else float("nan")


def _from_to(curve: np.ndarray, layer: int) -> str:
    return f"{significant(float(curve[layer - 1]))} → {significant(float(curve[layer]))}"


def _grows(trace: Trace) -> Finding:
    times = times_others(trace)
    growth = times[1:] / np.maximum(times[:-1], 1e-12)
    layer = int(growth.argmax()) + 1
    option = 0 if times.max() < GROWN else 2 if growth.max() >= JUMP else 1
    return Finding(
        option,
        f"{significant(float(times.max()))} times, in layer {int(times.argmax())}",
        f"Its state is at most {significant(float(times.max()))} times as large as the others' median, in layer {int(times.argmax())}. "
        f"One layer does most of it: into layer {layer} it grows {significant(float(growth.max()))} times against the others.",
    )


def _falls(trace: Trace) -> Finding:
    whole, _ = varieties(trace)
    layer = fall_layer(trace)
    lost = float(whole[layer - 1] - whole[layer]) / float(whole[layer - 1])
    ways = np.exp(whole[layer - 1 : layer + 1])
    return Finding(
        within(lost, FALLS),
        f"{_from_to(whole, layer)} nats",
        f"Into layer {layer} the matrix entropy goes {_from_to(whole, layer)} nats, {percent(max(lost, 0.0))} less. "
        f"That is as if the states differed in {significant(float(ways[1]))} ways instead of {significant(float(ways[0]))}.",
    )


def _without(trace: Trace) -> Finding:
    whole, without = varieties(trace)
    layer, left = fall_layer(trace), remaining(trace)
    if np.isnan(left):
        return Finding(
            None,
            "no fall",
            "The variety never falls from one layer to the next here. There is nothing to explain.",
        )
    option = 2 if left < REMAINS[0] else 1 if left < REMAINS[1] else 0
    why = {
        2: "Token 0 alone made the fall; the others differ as before.",
        1: "Token 0 is a part of it, and the others lose some of their own.",
        0: "The others lose it too, so here it is not token 0 alone.",
    }[option]
    return Finding(
        option,
        f"{_from_to(without, layer)} nats",
        f"Without token 0 it goes {_from_to(without, layer)} nats, with it {_from_to(whole, layer)}: {percent(left) if left > 0 else 'nothing'} of the fall is left. {why}",
    )


def _direction(trace: Trace) -> Finding:
    assert trace.layers.spectrum is not None
    layer = fall_layer(trace)
    share, other = (float(x) for x in trace.layers.spectrum[:, layer, 0])
    return Finding(
        within(share, DIRECTION),
        percent(share),
        f"In layer {layer} the largest direction carries {percent(share)} of all differences between the tokens; without token 0 the largest one carries {percent(other)}. "
        + (
            "One token far away from the rest makes its own direction, and a measure over all tokens sees little else."
            if share > 2 * other
            else "Here no single token makes a direction of its own."
        ),
    )


def _slider(trace: Trace, start: int) -> Slider:
    return Slider("layer", 0, trace.spec.n_layers, start)


def _sizes(trace: Trace, layer: int, theme_name: str, height: int, *, pale: bool = False) -> Drawn:
    norms = trace.layers.residual_norm[layer].astype(float)
    others = float(np.median(norms[1:]))
    notes = [
        Note(1.5, float(norms[0]) * 0.55, f"token 0: {count(round(float(norms[0])))}"),
        Note(len(norms) - 1.0, others * 1.3, f"the others: median {count(round(others))}", "right"),
    ]
    chart = bars(
        norms, picture="entropy_collapse", theme_name=theme_name, x="token", y="norm", height=height, log=True, top=2e5,
        ink=() if pale else (0,), faint=(0,) if pale else (), notes=notes, names=[visible(text) for text in trace.tokens.text],
    )  # fmt: skip
    return Drawn(
        f"Size of every token's state after layer {layer}",
        f"{count(len(norms))} tokens, logarithmic",
        chart,
        f"Norms of the states after layer {layer}",
    )


def _variety(
    trace: Trace, layer: int, theme_name: str, cover: Cover | None, *, both: bool, faint: bool = False
) -> Drawn:
    whole, without = varieties(trace)
    lines = [Line(whole, "faint" if faint else "plain")]
    if both:
        lines.append(Line(without, "dashed"))
    chart = curves(
        lines, picture="entropy_collapse", theme_name=theme_name, x="layer", y="nats", height=HIGH, chosen=layer, cover=cover,
        top=float(max(whole.max(), without.max())) * 1.12,
    )  # fmt: skip
    return Drawn(
        "In how many ways the tokens differ",
        "matrix entropy" + ("; dashed: without token 0" if both else ""),
        chart,
        "Matrix entropy over the layers",
    )


def _draw_grows(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    end = trace.spec.n_layers + 0.5
    chart = curves(
        [Line(np.log10(np.maximum(times_others(trace), 1.0)))], picture="entropy_collapse", theme_name=theme_name, x="layer", y="powers of ten",
        height=HIGH, chosen=at, cover=None if is_answered else Cover(-0.5, end, "token 0 against the others, layer by layer: ?"),
    )  # fmt: skip
    first = _sizes(trace, at if is_answered else 0, theme_name, LOW)
    return [
        first,
        Drawn(
            "Size of token 0 over that of the others",
            "times the median, as a power of ten",
            chart,
            "Size of token 0 over the layers",
        ),
    ]


def _draw_falls(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    cover = None if is_answered else Cover(fall_layer(trace) - 0.5, trace.spec.n_layers + 0.5)
    return [_sizes(trace, at, theme_name, LOW), _variety(trace, at, theme_name, cover, both=False)]


def _draw_without(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    cover = (
        None
        if is_answered
        else Cover(fall_layer(trace) - 0.5, trace.spec.n_layers + 0.5, "without token 0: ?")
    )
    drawn = _variety(trace, at, theme_name, None, both=is_answered, faint=is_answered)
    if cover is not None:
        whole, _ = varieties(trace)
        covered = curves(
            [Line(whole)], picture="entropy_collapse", theme_name=theme_name, x="layer", y="nats", height=HIGH, chosen=at, top=float(whole.max()) * 1.12,
            notes=[Note(fall_layer(trace) + 0.7, float(whole.max()) * 0.93, "without token 0: ?")],
        )  # fmt: skip
        drawn = Drawn(drawn.title, "matrix entropy of all tokens", covered, drawn.alt)
    return [_sizes(trace, at, theme_name, LOW, pale=is_answered), drawn]


def _draw_direction(trace: Trace, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    assert trace.layers.spectrum is not None
    shares = trace.layers.spectrum[:, at, :12].astype(float)
    covered = Cover(-0.5, 1.5) if not is_answered else None
    drawn = []
    for row, title, height in ((0, "all tokens", LOW), (1, "without token 0", LOW)):
        chart = bars(
            shares[row], picture="entropy_collapse", theme_name=theme_name, x="direction", y="share", height=height, ink=(0,), top=1.0, percent=True,
            cover=covered,
        )  # fmt: skip
        drawn.append(
            Drawn(
                f"Differences between the tokens by direction, layer {at}",
                f"{title}, the largest 12",
                chart,
                f"Shares of the largest directions in layer {at}, {title}",
            )
        )
    return drawn


_FLAT = (0.8,) * 10
_FALL = (0.7, 0.72, 0.74, 0.8, 0.1, 0.2, 0.35, 0.5, 0.68, 0.66)
_HALF = (0.7, 0.72, 0.74, 0.8, 0.45, 0.5, 0.56, 0.62, 0.68, 0.66)
_NONE = (0.7, 0.72, 0.74, 0.8, 0.8, 0.81, 0.8, 0.8, 0.76, 0.66)

LESSON = Lesson(
    slug="variety",
    title="One token takes the variety away",
    question="In the middle layers all tokens seem to become alike. Do they?",
    picture="entropy_collapse",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "grows",
            "A token grows",
            lambda t: (
                f"Every token has a state, a vector of {count(t.spec.hidden_size)} numbers that {t.spec.n_layers} layers change. How large does that of token 0 get beside the others?"
            ),
            (
                Option("As large as any", "Layers treat tokens alike.", ((0.15, 0.15, 0.2, 0.15, 0.15),)),
                Option("Larger, step by step", "A little more in each layer.", ((0.1, 0.3, 0.5, 0.7, 0.9),)),
                Option(
                    "Enormous at once", "One layer makes it.", ((0.1, 0.12, 0.14, 0.92, 0.9, 0.85, 0.75),)
                ),
            ),
            2,
            lambda t: Slider("layer", 0, t.spec.n_layers, 0, int(times_others(t).argmax())),
            _grows,
            _draw_grows,
        ),
        Step(
            "falls",
            "The variety falls",
            lambda t: (
                f"After layer {fall_layer(t)} token 0 is {significant(float(times_others(t)[fall_layer(t)]))} times as large as the others. What happens there to the variety of all {count(len(t.tokens))} tokens, before {significant(float(varieties(t)[0][fall_layer(t) - 1]))} nats?"
            ),
            (
                Option("It stays", "One token of many.", (_NONE,)),
                Option("It loses a little", "10 to 40 %.", (_HALF,)),
                Option("It falls far", "More than 40 %.", (_FALL,)),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            _falls,
            _draw_falls,
        ),
        Step(
            "without",
            "Without token 0",
            lambda t: (
                f"Into layer {fall_layer(t)} the variety of all tokens goes {_from_to(varieties(t)[0], fall_layer(t))} nats. Leave token 0 out of the count: what happens to the fall?"
            ),
            (
                Option("It stays", "The layers flatten every token.", (_FALL, _FALL)),
                Option("It halves", "Token 0 is part of it.", (_FALL, _HALF)),
                Option("It vanishes", "Token 0 alone makes it.", (_FALL, _NONE)),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            _without,
            _draw_without,
        ),
        Step(
            "direction",
            "One direction",
            lambda t: (
                f"How much of all differences between the tokens lies in one single direction in layer {fall_layer(t)}?"
            ),
            (
                Option("Less than a quarter", "There are hundreds of directions."),
                Option("25 to 60 %", "A main one, and many more."),
                Option("More than 60 %", "One token makes it."),
            ),
            2,
            lambda t: _slider(t, fall_layer(t)),
            _direction,
            _draw_direction,
        ),
    ),
    measure=read,
    stored=lambda: stored_run("story"),
    notes="The measure is the entropy of the covariance's eigenvalues: in how many ways the tokens differ, not how uncertain a prediction is. "
    "Most people predict that layers flatten all tokens; papers have said so from the same curve. Step 3 takes one token out of the count, "
    "not out of the model. At the end: which other averages over tokens could one token decide alone?",
)
