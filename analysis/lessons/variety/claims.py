"""One token takes the variety away: its state grows, the others seem to become alike, and without it nothing has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.drawing.numbers import significant
from analysis.entropy_collapse.layers.curves import collapse_layer
from analysis.lessons.lesson import Finding, within
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


def from_to(curve: np.ndarray, layer: int) -> str:
    """The values before a layer and after it."""
    return f"{significant(float(curve[layer - 1]))} → {significant(float(curve[layer]))}"


def find_grows(trace: Trace) -> Finding:
    """What was measured about "grows", and which prediction came true."""
    times = times_others(trace)
    growth = times[1:] / np.maximum(times[:-1], 1e-12)
    layer = int(growth.argmax()) + 1
    option = 0 if times.max() < GROWN else 2 if growth.max() >= JUMP else 1
    return Finding(
        option,
        f"{significant(float(times.max()))} times, in layer {int(times.argmax())}",
        f"Its state is at most {significant(float(times.max()))} times as large as the others' median, in layer {int(times.argmax())}. "
        f"{'One layer does most of it: into' if option == 2 else 'Most in one step: into'} layer {layer} it grows {significant(float(growth.max()))} times against the others.",
    )


def find_falls(trace: Trace) -> Finding:
    """What was measured about "falls", and which prediction came true."""
    whole, _ = varieties(trace)
    layer = fall_layer(trace)
    lost = float(whole[layer - 1] - whole[layer]) / float(whole[layer - 1])
    ways = np.exp(whole[layer - 1 : layer + 1])
    return Finding(
        within(lost, FALLS),
        f"{from_to(whole, layer)} nats",
        f"Into layer {layer} the matrix entropy goes {from_to(whole, layer)} nats, {percent(max(lost, 0.0))} less. "
        f"That is as if the states differed in {significant(float(ways[1]))} ways instead of {significant(float(ways[0]))}.",
    )


def find_without(trace: Trace) -> Finding:
    """What was measured about "without", and which prediction came true."""
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
        f"{from_to(without, layer)} nats",
        f"Without token 0 it goes {from_to(without, layer)} nats, with it {from_to(whole, layer)}: {percent(left) if left > 0 else 'nothing'} of the fall is left. {why}",
    )


def find_direction(trace: Trace) -> Finding:
    """What was measured about "direction", and which prediction came true."""
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
