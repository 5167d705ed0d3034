"""Why everything looks at the first token: how much, where, what happens when it is hidden, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.attention_sinks.measures import triad
from analysis.attention_sinks.summary import mean_received, sink_numbers
from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from analysis.lessons.lesson import Finding, within
from analysis.lessons.measuring import STORED, read, stored_run
from analysis.progress import Progress, part
from analysis.token_entropy.expected import percent

if TYPE_CHECKING:
    from analysis.models.loading import LanguageModel
    from analysis.results.attention import AttentionTrace
    from analysis.results.trace import Trace

SHOWN = 48
"""Tokens drawn: where attention goes at the beginning of the text."""
TIMES_UNIFORM = (2.0, 5.0)
"""Times uniform attention that part the predictions."""
RISES = 1.5
"""How many times larger one half of the layers has to be than the other."""
SAME_SINK = 0.5
"""Share of the old sink that the new one must have to count as one."""
VALUE = (0.67, 1.5)
HARDLY = 0.1
"""Nats of mean surprisal that are next to nothing, as in the lesson on forgetting."""


@dataclass(frozen=True, eq=False)
class FirstToken:
    """A run, and the same with token 0 hidden from all others."""

    trace: Trace
    hidden_received: np.ndarray
    """float32, (T,), in [0, 1]: attention that each token gets when token 0 is hidden, mean over layers and heads."""
    hidden_surprisal: float
    """Mean surprisal of tokens 2 and later then, nats."""

    @property
    def attention(self) -> AttentionTrace:
        """The run's attention."""
        assert self.trace.attention is not None
        return self.trace.attention

    @property
    def surprisal(self) -> float:
        """Mean surprisal of tokens 2 and later in the plain run, nats."""
        return float(np.mean(self.trace.tokens.surprisal[2:].astype(float)))


def measure(model: LanguageModel | None, text: str, on_progress: Progress) -> FirstToken:
    """Read the text, and once more with token 0 hidden."""
    from analysis.attention_sinks.experiments import break_sink

    trace = read(model, text, part(on_progress, 0, 2))
    assert model is not None
    if trace.attention is None:
        raise AnalysisError(
            "This run has no attention.", trace.unavailable.get("attention", "Take another text.")
        )
    hidden = break_sink(model, trace, "hide token 0", on_progress=part(on_progress, 1, 2))
    assert hidden.attention is not None
    return FirstToken(
        trace, mean_received(hidden.attention), float(np.mean(hidden.tokens.surprisal[2:].astype(float)))
    )


@cache
def stored() -> FirstToken:
    """The same for the lesson's own text, from files."""
    from safetensors.numpy import load_file

    arrays = load_file(STORED / "first_token.safetensors")
    return FirstToken(stored_run("story"), arrays["received"], float(arrays["surprisal"]))


def store(found: FirstToken) -> None:
    """Write what :func:`stored` reads beside the run of the story."""
    from safetensors.numpy import save_file

    arrays = {"received": found.hidden_received, "surprisal": np.array(found.hidden_surprisal)}
    save_file(arrays, STORED / "first_token.safetensors")


def by_layer(m: FirstToken) -> np.ndarray:
    """Attention on token 0, mean over the heads of each layer, (K,), in [0, 1]."""
    return np.asarray(m.attention.sink_mass.mean(1))


def halves(m: FirstToken) -> tuple[float, float]:
    """The same, mean over the first and over the second half of the layers."""
    mass, middle = by_layer(m), len(m.attention.sink_mass) // 2
    return float(mass[:middle].mean()), float(mass[middle:].mean())


def next_sink(m: FirstToken) -> tuple[int, float]:
    """The token that gets most attention when token 0 is hidden, and how much; the last tokens, seen by few, left out."""
    seen = m.hidden_received[: max(2, len(m.hidden_received) - 8)].astype(float)
    position = int(seen[1:].argmax()) + 1
    return position, float(seen[position])


def sink_layers(m: FirstToken) -> np.ndarray:
    """Which layers give token 0 more than twice its share, bool, (K,)."""
    return np.asarray(by_layer(m) > TIMES_UNIFORM[0] * m.attention.sink_baseline)


def value_over_others(m: FirstToken) -> float:
    """Norm of token 0's value over the median of the others, median of the layers whose heads give it more than its share.

    NaN where no layer does.
    """
    sinks = sink_layers(m)
    drain = triad(m.attention, m.trace.layers.residual_norm, 0).value_drain.mean(1)
    return float(np.median(drain[sinks])) if sinks.any() else float("nan")


def token_name(m: FirstToken, position: int) -> str:
    """A token in quotes, without the space in front of it."""
    return f"“{visible(m.trace.tokens.text[position])}”"


def find_how_much(m: FirstToken) -> Finding:
    """What was measured about "how much", and which prediction came true."""
    numbers = sink_numbers(m.attention)
    times = numbers.on_first / numbers.uniform
    return Finding(
        within(times, TIMES_UNIFORM),
        percent(numbers.on_first),
        f"On average a head gives token 0 {percent(numbers.on_first)} of its attention, {significant(times)} times its share if all tokens got the same. "
        f"In {percent(numbers.rate)} of the heads it gets more than 30 %.",
    )


def find_where(m: FirstToken) -> Finding:
    """What was measured about "where", and which prediction came true."""
    first, second = halves(m)
    option = 2 if second > RISES * first else 1 if first > RISES * second else 0
    top = int(by_layer(m).argmax())
    return Finding(
        option,
        f"{percent(first)}, then {percent(second)}",
        f"The first half of the layers gives token 0 {percent(first)}, the second half {percent(second)}; layer {int(m.attention.layer_numbers[top])} gives most, "
        f"{percent(float(by_layer(m).max()))}. "
        + (
            "A row of attention sums to one: what the later layers do not give to other tokens goes there."
            if option == 2
            else "Here the first layers do so as well."
            if option == 0
            else "Here it is the first layers."
        ),
    )


def find_hidden(m: FirstToken) -> Finding:
    """What was measured about "hidden", and which prediction came true."""
    position, gets = next_sink(m)
    before = float(mean_received(m.attention)[0])
    option = 0 if gets < SAME_SINK * before else 1 if position == 1 else 2
    what = {
        0: f"Without token 0 no token takes its place: the most is {percent(gets)}, at token {position}.",
        1: f"Now token 1, {token_name(m, 1)}, gets {percent(gets)}, as token 0 did before ({percent(before)}).",
        2: f"Now token {position}, {token_name(m, position)}, gets {percent(gets)}; token 0 had {percent(before)}.",
    }[option]
    return Finding(
        option,
        f"token {position}: {percent(gets)}" if option else f"no token: at most {percent(gets)}",
        f"{what} The predictions hardly need it: the mean surprisal goes from {significant(m.surprisal)} to {significant(m.hidden_surprisal)} nats."
        if abs(m.hidden_surprisal - m.surprisal) < HARDLY
        else f"{what} The mean surprisal goes from {significant(m.surprisal)} to {significant(m.hidden_surprisal)} nats.",
    )


def find_says(m: FirstToken) -> Finding:
    """What was measured about "says", and which prediction came true."""
    value = value_over_others(m)
    if np.isnan(value):
        return Finding(
            None,
            "not available",
            "No layer gives token 0 more than twice its share here. There is no sink to explain.",
        )
    gets = percent(float(by_layer(m)[sink_layers(m)].mean()))
    why = {
        0: "So a head that rests there adds less than its weight says.",
        1: "So it adds about as much as its weight says.",
        2: "So it adds more than its weight says, and is no place to rest.",
    }[within(value, VALUE)]
    return Finding(
        within(value, VALUE),
        f"{significant(value)} times the others",
        f"In the layers that give it more than twice its share, {gets} of their attention on average, its value is {significant(value)} times as long as the others' median. {why}",
    )
