"""Why everything looks at the first token: how much, where, what happens when it is hidden, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from analysis.attention_sinks.experiments import break_sink
from analysis.attention_sinks.measures import triad
from analysis.attention_sinks.summary import mean_received, sink_numbers
from analysis.drawing.labels import visible
from analysis.drawing.numbers import significant
from analysis.errors import AnalysisError
from analysis.lessons.lesson import Drawn, Finding, Lesson, Option, Slider, Step, within
from analysis.lessons.measuring import STORED, read, stored_run
from analysis.lessons.pictures import ALONE, HIGH, LOW, Cover, Line, Note, bars, curves
from analysis.lessons.story import STORY
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


def value_over_others(m: FirstToken) -> float:
    """Norm of token 0's value over the median of the others, median of the layers whose heads give it more than its share.

    NaN where no layer does.
    """
    mass = by_layer(m)
    sinks = mass > TIMES_UNIFORM[0] * m.attention.sink_baseline
    drain = triad(m.attention, m.trace.layers.residual_norm, 0).value_drain.mean(1)
    return float(np.median(drain[sinks])) if sinks.any() else float("nan")


def _token(m: FirstToken, position: int) -> str:
    return f"“{visible(m.trace.tokens.text[position])}”"


def _how_much(m: FirstToken) -> Finding:
    numbers = sink_numbers(m.attention)
    times = numbers.on_first / numbers.uniform
    return Finding(
        within(times, TIMES_UNIFORM),
        percent(numbers.on_first),
        f"On average a head gives token 0 {percent(numbers.on_first)} of its attention, {significant(times)} times its share if all tokens got the same. "
        f"In {percent(numbers.rate)} of the heads it gets more than 30 %, whatever the text is about.",
    )


def _where(m: FirstToken) -> Finding:
    first, second = halves(m)
    option = 2 if second > RISES * first else 1 if first > RISES * second else 0
    top = int(by_layer(m).argmax())
    return Finding(
        option,
        f"{percent(first)}, then {percent(second)}",
        f"The first half of the layers gives token 0 {percent(first)}, the second half {percent(second)}; layer {int(m.attention.layer_numbers[top])} gives most, "
        f"{percent(float(by_layer(m).max()))}. "
        + (
            "The first layers collect what stands nearby, the later ones often have nothing left to fetch and rest there."
            if option == 2
            else "Here it is not the later layers that rest there."
        ),
    )


def _hidden(m: FirstToken) -> Finding:
    position, gets = next_sink(m)
    before = float(mean_received(m.attention)[0])
    option = 0 if gets < SAME_SINK * before else 1 if position == 1 else 2
    what = {
        0: f"Without token 0 no token takes its place: the most is {percent(gets)}, at token {position}.",
        1: f"Now token 1, {_token(m, 1)}, gets {percent(gets)}, as token 0 did before ({percent(before)}).",
        2: f"Now token {position}, {_token(m, position)}, gets {percent(gets)}; token 0 had {percent(before)}.",
    }[option]
    return Finding(
        option,
        f"token {position}: {percent(gets)}" if option else f"no token: at most {percent(gets)}",
        f"{what} The predictions hardly need the word itself: the mean surprisal goes from {significant(m.surprisal)} to {significant(m.hidden_surprisal)} nats."
        if abs(m.hidden_surprisal - m.surprisal) < 0.1 * m.surprisal
        else f"{what} The mean surprisal goes from {significant(m.surprisal)} to {significant(m.hidden_surprisal)} nats.",
    )


def _says(m: FirstToken) -> Finding:
    value = value_over_others(m)
    if np.isnan(value):
        return Finding(
            None,
            "not available",
            "No layer gives token 0 more than twice its share here. There is no sink to explain.",
        )
    numbers = sink_numbers(m.attention)
    why = {
        0: "A head that finds nothing puts its attention where it adds almost nothing.",
        1: "Here what it adds is not small.",
        2: "Here it adds more than others, so it is no place to rest.",
    }[within(value, VALUE)]
    return Finding(
        within(value, VALUE),
        f"{significant(value)} times the others",
        f"In the layers that attend to it most, its value is {significant(value)} times as long as the others' median, though it gets {percent(numbers.on_first)} of the attention. {why}",
    )


def _layers(m: FirstToken) -> Slider:
    return Slider("layer", 0, m.attention.n_layers - 1, int(by_layer(m).argmax()))


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


def _draw_how_much(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    return [_received(m, at, theme_name, ALONE, None if is_answered else Cover(-0.5, 2.5))]


def _draw_where(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
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


def _draw_hidden(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
    names = [visible(text) for text in m.trace.tokens.text[:SHOWN]]
    before, after = mean_received(m.attention)[:SHOWN], m.hidden_received[:SHOWN].astype(float)
    top = max(float(before.max()), float(after.max())) * 1.15
    plain = bars(
        before.astype(float), picture="attention_sinks", theme_name=theme_name, x="token", y="attention", height=LOW, ink=(at,), top=top, percent=True, names=names,
    )  # fmt: skip
    hidden = bars(
        np.where(np.arange(len(after)) == 0, np.nan, after), picture="attention_sinks", theme_name=theme_name, x="token", y="attention", height=HIGH,
        ink=(at,), top=top, percent=True, names=names, cover=None if is_answered else Cover(0.5, SHOWN - 0.5, "with token 0 hidden: ?"),
        notes=[Note(at + 1, float(after[at]), f"token {at} {_token(m, at)}: {percent(float(after[at]))}")] if is_answered and 0 < at < len(after) else (),
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


def _draw_says(m: FirstToken, at: int, is_answered: bool, theme_name: str) -> list[Drawn]:
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


LESSON = Lesson(
    slug="first-token",
    title="Why everything looks at the first token",
    question="Attention is meant to fetch what matters. Why does so much of it go to the first token?",
    picture="attention_sinks",
    needs="text",
    own=STORY,
    steps=(
        Step(
            "how-much",
            "How much",
            lambda m: (
                f"Token 0 of this text is {_token(m, 0)}. If all visible tokens got the same, it would get {percent(sink_numbers(m.attention).uniform)} of the attention. How much does it get?"
            ),
            (
                Option("About that", "Less than 2 times: it is one token of many."),
                Option("A little more", "2 to 5 times: beginnings matter."),
                Option("Far more", "More than 5 times, whatever it says."),
            ),
            2,
            _layers,
            _how_much,
            _draw_how_much,
        ),
        Step(
            "where",
            "In which layers",
            lambda m: (
                f"The model has {m.attention.n_layers} layers. In which of them do heads attend to token 0?"
            ),
            (
                Option("In all alike", "It is a habit of attention.", ((0.5, 0.5),)),
                Option(
                    "In the first ones",
                    "The beginning is read at the beginning.",
                    ((0.9, 0.75, 0.3, 0.15, 0.1),),
                ),
                Option("In the later ones", "Something has to happen first.", ((0.1, 0.15, 0.3, 0.75, 0.9),)),
            ),
            2,
            _layers,
            _where,
            _draw_where,
        ),
        Step(
            "hidden",
            "Is it the word or the place?",
            lambda m: (
                f"Token 0, {_token(m, 0)}, is now hidden from all later tokens. Where do heads look then?"
            ),
            (
                Option("Nowhere in particular", "The word was the reason."),
                Option("At token 1", "The place is the reason: the first that can be seen."),
                Option("At another word", "One further on that matters more."),
            ),
            1,
            lambda m: Slider("token", 0, min(SHOWN, len(m.hidden_received)) - 1, 1),
            _hidden,
            _draw_hidden,
        ),
        Step(
            "says",
            "What it says",
            lambda _: (
                "A token that is attended to passes on its value, a vector. How long is the value of token 0, beside those of the others?"
            ),
            (
                Option("Shorter", "It has little to say.", ((0.1, 0.1),)),
                Option("About as long", "All say something.", ((0.5, 0.5),)),
                Option("Longer", "That is why they look.", ((0.9, 0.9),)),
            ),
            0,
            _layers,
            _says,
            _draw_says,
        ),
    ),
    measure=measure,
    stored=stored,
    notes="Needs no formula beyond: attention weights of a row sum to 1, so a head that has nothing to fetch must still put its weight "
    "somewhere. Most people predict that the word is the reason. Step 3 is the experiment that decides it; let the class say first what "
    "each of the three outcomes would mean. At the end: which program would break if token 0 were thrown out of the cache?",
)
